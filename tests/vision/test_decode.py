from __future__ import annotations

import io
import pickle
import re
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from deployments.vision import decode as decode_module
from deployments.vision import parsing
from deployments.vision.decode import MOST_SCANNED_PIXELS, ImageHeader, OpenPhoto, decode, read_header
from deployments.vision.jpeg import number_of_scans
from semblance.errors import ImageTooCostlyError, ImageTooLargeError, SemblanceError, UnreadableImageError
from semblance.types import Image
from tests.support import photos, wide_photos
from tests.support.laden import cmyk_profile
from tests.support.photos import encoded, with_scans

MAX_BYTES, MAX_PIXELS = 10 * 2**20, 50_000_000


def header_of(data: bytes, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    return read_header(data, max_bytes=max_bytes, max_pixels=max_pixels)


def pixels_of(data: bytes) -> Image:
    image, scale = decode(data, header_of(data))
    assert scale == 1.0
    assert image.dtype == np.uint8
    assert (image.ndim, image.shape[2]) == (3, 3)
    assert image.flags.c_contiguous
    return image


def corners() -> Image:
    """56 x 40 with four differently coloured quarters, so that any turn or mirroring shows."""
    picture = np.zeros((40, 56, 3), np.uint8)
    picture[:20, :28] = 230, 40, 40
    picture[:20, 28:] = 40, 200, 40
    picture[20:, :28] = 40, 60, 230
    picture[20:, 28:] = 240, 230, 220
    return picture


def grey_ramp() -> Image:
    return np.repeat(np.linspace(0, 255, 56).astype(np.uint8)[None], 40, axis=0)


RGB = PillowImage.fromarray(corners())

FORMATS: dict[str, tuple[str, dict[str, Any], int]] = {
    "JPEG": ("JPEG", {"quality": 95, "subsampling": 0}, 12),
    "JPEG progressive": ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 12),
    "PNG": ("PNG", {}, 0),
    "PNG interlaced": ("PNG", {"interlace": True}, 0),
    "WebP": ("WEBP", {"quality": 95}, 40),
    "WebP lossless": ("WEBP", {"lossless": True}, 0),
    "BMP": ("BMP", {}, 0),
    "TIFF": ("TIFF", {}, 0),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}, 0),
    "TIFF JPEG": ("TIFF", {"compression": "jpeg", "quality": 95}, 25),
    "AVIF": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 16),
    "HEIC": ("HEIF", {"quality": 95, "chroma": 444}, 16),
    "GIF": ("GIF", {}, 0),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format(name: str) -> None:
    file_format, options, tolerance = FORMATS[name]
    data = encoded(RGB, file_format, **options)
    header = header_of(data)
    assert (header.format, header.width, header.height, header.orientation) == (file_format, 56, 40, 1)
    assert header.fast_jpeg == (file_format == "JPEG")
    difference = np.abs(pixels_of(data).astype(int) - corners())
    # Lossy codecs ring at the borders between the quarters; away from them the colours must hold.
    inner = np.ix_([*range(4, 16), *range(24, 36)], [*range(4, 24), *range(32, 52)])
    assert difference[inner].max() <= tolerance


def test_the_sample_formats_are_all_that_is_read() -> None:
    assert {header_of(encoded(RGB, f, **o)).format for f, o, _ in FORMATS.values()} == {
        "JPEG",
        "PNG",
        "WEBP",
        "BMP",
        "TIFF",
        "AVIF",
        "HEIF",
        "GIF",
    }


def turned(orientation: int) -> PillowImage.Image:
    """The picture as stored by a camera that writes this orientation: the inverse of what EXIF asks for."""
    operation = {
        2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
        3: PillowImage.Transpose.ROTATE_180,
        4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
        5: PillowImage.Transpose.TRANSPOSE,
        6: PillowImage.Transpose.ROTATE_90,
        7: PillowImage.Transpose.TRANSVERSE,
        8: PillowImage.Transpose.ROTATE_270,
    }
    return RGB.transpose(operation[orientation]) if orientation in operation else RGB


def exif(orientation: int) -> PillowImage.Exif:
    tags = PillowImage.Exif()
    tags[0x0112] = orientation
    return tags


ORIENTED: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
    "HEIF": {"quality": 95, "chroma": 444},
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ORIENTED)
def test_every_orientation_decodes_to_the_same_upright_picture(file_format: str, orientation: int) -> None:
    options = dict(ORIENTED[file_format])
    data = encoded(turned(orientation), file_format, exif=exif(orientation).tobytes(), **options)
    header = header_of(data)
    assert (header.width, header.height) == (56, 40)
    image = pixels_of(data)
    assert image.shape == (40, 56, 3)
    inner = np.ix_([*range(4, 16), *range(24, 36)], [*range(4, 24), *range(32, 52)])
    assert np.abs(image.astype(int) - corners())[inner].max() <= 16


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_impossible_orientation_is_upright(value: int) -> None:
    assert header_of(encoded(RGB, "JPEG", exif=exif(value).tobytes())).orientation == 1


def test_broken_exif_does_not_refuse_the_photo() -> None:
    good = encoded(RGB, "JPEG", exif=exif(6).tobytes())
    start = good.index(b"Exif\0\0") + 6
    broken = good[:start] + b"MM\x00\x2a\xff\xff\xff\xf0" + good[start + 8 :]
    assert header_of(broken).orientation == 1
    assert pixels_of(broken).shape == (40, 56, 3)


def with_transparency(mode: str) -> PillowImage.Image:
    """The left half opaque red or dark grey, the right half fully transparent with black underneath."""
    alpha = np.zeros((40, 56), np.uint8)
    alpha[:, :28] = 255
    if mode == "LA":
        return PillowImage.merge("LA", [PillowImage.new("L", (56, 40), 50), PillowImage.fromarray(alpha)])
    red = PillowImage.new("RGB", (56, 40), (0, 0, 0))
    red.paste((200, 30, 30), (0, 0, 28, 40))
    red.putalpha(PillowImage.fromarray(alpha))
    return red


@pytest.mark.parametrize(
    ("mode", "file_format", "opaque"),
    [
        ("RGBA", "PNG", (200, 30, 30)),
        ("RGBA", "WEBP", (200, 30, 30)),
        ("RGBA", "TIFF", (200, 30, 30)),
        ("RGBA", "AVIF", (200, 30, 30)),
        ("RGBA", "HEIF", (200, 30, 30)),
        ("LA", "PNG", (50, 50, 50)),
        ("LA", "TIFF", (50, 50, 50)),
    ],
)
def test_transparency_shows_white(mode: str, file_format: str, opaque: tuple[int, int, int]) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    image = pixels_of(encoded(with_transparency(mode), file_format, **options))
    assert np.abs(image[4:36, 4:20].astype(int) - opaque).max() <= 12
    assert image[4:36, 36:52].min() >= 243


def test_half_transparency_is_blended() -> None:
    data = encoded(PillowImage.new("RGBA", (8, 8), (100, 0, 0, 128)), "PNG")
    np.testing.assert_allclose(pixels_of(data)[0, 0], (177, 127, 127), atol=1)


def test_palettes() -> None:
    palette = RGB.quantize(8)
    assert np.abs(pixels_of(encoded(palette, "PNG")).astype(int) - corners()).max() <= 8
    one = PillowImage.new("P", (8, 8), 1)
    one.putpalette([10, 20, 30, 200, 100, 50])
    assert pixels_of(encoded(one, "PNG"))[0, 0].tolist() == [200, 100, 50]
    assert pixels_of(encoded(one, "PNG", transparency=1))[0, 0].tolist() == [255, 255, 255]
    assert pixels_of(encoded(one, "PNG", transparency=bytes([255, 0])))[0, 0].tolist() == [255, 255, 255]
    colour_key = encoded(PillowImage.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))
    assert pixels_of(colour_key)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"])
def test_greyscale(file_format: str) -> None:
    data = encoded(PillowImage.fromarray(grey_ramp()), file_format, quality=95)
    image = pixels_of(data)
    assert np.abs(image.astype(int) - grey_ramp()[:, :, None]).max() <= 8
    assert np.ptp(image, axis=2).max() <= 3


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF"])
def test_one_bit(file_format: str) -> None:
    bits = PillowImage.fromarray(grey_ramp() > 127)
    image = pixels_of(encoded(bits, file_format))
    np.testing.assert_array_equal(image, np.where(grey_ramp() > 127, 255, 0)[:, :, None].repeat(3, axis=2))


def test_16_bit_grey_and_colour() -> None:
    """Grey and colour ramps over the whole 16-bit range; OpenCV writes them, Pillow has no such mode."""
    ramp = np.repeat(np.linspace(0, 65535, 56)[None], 40, axis=0).astype(np.uint16)
    colour = np.stack([ramp, 65535 - ramp, np.full_like(ramp, 32768)], axis=-1)
    for kind in (".png", ".tiff"):
        grey_data = cv2.imencode(kind, ramp)[1].tobytes()
        assert np.abs(pixels_of(grey_data).astype(int) - (ramp / 257)[:, :, None]).max() <= 1
        colour_data = cv2.imencode(kind, colour[:, :, ::-1])[1].tobytes()
        assert np.abs(pixels_of(colour_data).astype(int) - colour / 257).max() <= 1
    png_data = cv2.imencode(".png", colour[:, :, ::-1])[1].tobytes()
    np.testing.assert_array_equal(pixels_of(png_data), colour >> 8)
    alpha = np.dstack([colour[:, :, ::-1], np.full_like(ramp, 65535)])
    assert np.abs(pixels_of(cv2.imencode(".png", alpha)[1].tobytes()).astype(int) - colour / 257).max() <= 1


def test_big_endian_16_bit_tiff() -> None:
    """By hand: an uncompressed 2 x 1 grey picture of the values 0x0100 and 0xff00."""
    entries = [(256, 3, 2), (257, 3, 1), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    entries += [(278, 3, 1), (279, 4, 4)]
    directory = struct.pack(">H", len(entries))
    for tag, kind, value in entries:
        packed = struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
        directory += struct.pack(">HHI", tag, kind, 1) + packed
    data = b"MM\0*" + struct.pack(">I", 12) + b"\x01\x00\xff\x00" + directory + bytes(4)
    assert pixels_of(data)[0, :, 0].tolist() == [1, 254]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_float_tiff(white: float) -> None:
    values = np.repeat(np.linspace(0, white, 56, dtype=np.float32)[None], 40, axis=0)
    values[0, 0] = np.nan
    values[0, 1] = -np.inf
    image = pixels_of(encoded(PillowImage.fromarray(values), "TIFF"))
    assert np.abs(image.astype(int) - np.linspace(0, 255, 56)[None, :, None])[1:].max() <= 1
    assert not image[0, :2].any()


def test_32_bit_tiff() -> None:
    values = np.repeat(np.linspace(0, 65535, 56)[None], 40, axis=0).astype(np.int32)
    image = pixels_of(encoded(PillowImage.fromarray(values), "TIFF"))
    assert np.abs(image.astype(int) - np.linspace(0, 255, 56)[None, :, None]).max() <= 1


def test_cmyk_jpeg_as_adobe_writes_it() -> None:
    """Adobe stores CMYK inverted; Pillow writes it so too and marks it."""
    cmyk = RGB.convert("CMYK")
    data = encoded(cmyk, "JPEG", quality=95)
    assert b"Adobe" in data
    header = header_of(data)
    assert not header.fast_jpeg
    image = pixels_of(data)
    assert np.abs(image.astype(int) - corners())[4:16, 4:24].max() <= 12
    assert np.abs(image.astype(int) - corners())[24:36, 32:52].max() <= 12


@pytest.mark.parametrize(
    ("file_format", "options"), [("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})]
)
def test_the_first_of_several_frames_is_read(file_format: str, options: dict[str, Any]) -> None:
    others = [PillowImage.new("RGB", (56, 40), (i, i, i)) for i in range(30)]
    data = encoded(RGB, file_format, save_all=True, append_images=others, **options)
    np.testing.assert_array_equal(pixels_of(data), corners())


def test_jpeg_with_a_second_picture_behind_it() -> None:
    """MPO, as phones write for depth and stereo."""
    data = encoded(RGB, "MPO", save_all=True, append_images=[PillowImage.new("RGB", (56, 40))], quality=95)
    header = header_of(data)
    assert (header.format, header.fast_jpeg) == ("JPEG", True)
    assert np.abs(pixels_of(data).astype(int) - corners())[4:16, 4:24].max() <= 12


def assert_shows_the_same(reduced: Image, full: Image, divisor: int) -> None:
    """The reduced picture against the full one averaged over its whole blocks."""
    rows, columns = full.shape[0] // divisor, full.shape[1] // divisor
    whole = np.ascontiguousarray(full[: rows * divisor, : columns * divisor])
    expected = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced[:rows, :columns].astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize("size", [(800, 600), (801, 603), (320, 1023)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("share", "divisor"), [(0.9, 1), (0.5, 2), (0.3, 2), (0.25, 4), (0.1, 8), (0.05, 16)]
)
def test_reduced_decoding_agrees_with_full_decoding_resized(
    size: tuple[int, int], mode: str, share: float, divisor: int
) -> None:
    width, height = size
    y, x = np.mgrid[:height, :width]
    colours = [128 + 90 * np.sin(x / 60), 128 + 90 * np.cos(y / 45), (x + y) % 256 // 2 + 60]
    picture = PillowImage.fromarray(np.stack(colours, axis=-1).astype(np.uint8)).convert(mode)
    data = encoded(picture, "JPEG", quality=95)
    header = header_of(data)
    long_side = int(max(size) * share)
    image, scale = decode(data, header, long_side=long_side)
    assert scale == 1 / divisor
    assert max(image.shape) >= long_side
    assert image.shape[:2] == (-(-height // divisor), -(-width // divisor))
    assert_shows_the_same(image, pixels_of(data), divisor)


@pytest.mark.parametrize("long_side", [None, 512, 100])
def test_reduced_decoding_turns_like_full_decoding(long_side: int | None) -> None:
    picture = PillowImage.fromarray(cv2.resize(corners(), (1401, 1003)))
    level, turned_left = (
        encoded(picture, "JPEG", exif=exif(orientation).tobytes()) for orientation in (1, 6)
    )
    expected, expected_scale = decode(level, header_of(level), long_side=long_side)
    image, scale = decode(turned_left, header_of(turned_left), long_side=long_side)
    np.testing.assert_array_equal(image, np.rot90(expected, -1))
    assert scale == expected_scale


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *extra: bytes, body: bytes = b"\0" * 64) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def huge_bmp() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 60, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(6)
    )


def huge_webp() -> bytes:
    data = bytearray(encoded(with_transparency("RGBA"), "WEBP", save_all=True, append_images=[RGB]))
    start = data.index(b"VP8X") + 12
    data[start : start + 6] = (16_000).to_bytes(3, "little") * 2
    return bytes(data)


def huge_jpeg() -> bytes:
    data = bytearray(encoded(RGB, "JPEG"))
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", 65_000, 65_000)
    return bytes(data)


TOO_LARGE: dict[str, Callable[[], bytes]] = {
    "PNG of 2**31 - 1 squared": lambda: png(2**31 - 1, 2**31 - 1),
    "PNG just over the warning of Pillow": lambda: png(9_500, 9_500),
    "PNG just over the limit": lambda: png(50_000, 1_001),
    "BMP": huge_bmp,
    "WebP": huge_webp,
    "JPEG": huge_jpeg,
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_bombs_are_refused_by_their_claim(name: str) -> None:
    with pytest.raises(ImageTooLargeError, match=r"pixels.* Send it scaled down"):
        header_of(TOO_LARGE[name]())


def test_an_avif_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MOST_AVIF_PIXELS", 56 * 40)
    assert header_of(encoded(RGB, "AVIF")).width == 56
    monkeypatch.setattr(decode_module, "MOST_AVIF_PIXELS", 56 * 40 - 1)
    assert header_of(encoded(RGB, "PNG")).width == 56
    with pytest.raises(ImageTooLargeError, match="accepted of an AVIF"):
        header_of(encoded(RGB, "AVIF"))


def test_a_heic_without_tiles_has_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = RGB.resize((160, 100))
    whole, tiled = encoded(picture, "HEIF"), encoded(picture, "HEIF", tile_size=64)
    monkeypatch.setattr(decode_module, "MOST_HEIC_TILE_PIXELS", 160 * 100)
    assert header_of(whole).width == 160
    monkeypatch.setattr(decode_module, "MOST_HEIC_TILE_PIXELS", 64 * 64)
    assert header_of(tiled).width == 160
    assert header_of(encoded(picture, "PNG")).width == 160
    with pytest.raises(ImageTooLargeError, match=r"4,096 pixels are accepted of a HEIC without tiles"):
        header_of(whole)
    monkeypatch.setattr(decode_module, "MOST_HEIC_TILE_PIXELS", 64 * 64 - 1)
    with pytest.raises(ImageTooLargeError):
        header_of(tiled)


def test_limits_are_inclusive() -> None:
    data = encoded(RGB, "PNG")
    assert header_of(data, max_bytes=len(data), max_pixels=56 * 40).width == 56
    with pytest.raises(ImageTooLargeError, match="larger than"):
        header_of(data, max_bytes=len(data) - 1)
    with pytest.raises(ImageTooLargeError, match="56 x 40"):
        header_of(data, max_pixels=56 * 40 - 1)


def text_bomb() -> bytes:
    return png(8, 8, chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * 20_000_000, 9)))


def profile_bomb() -> bytes:
    return png(8, 8, chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"\0" * 20_000_000, 9)))


REFUSED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\xff",
    "text": lambda: b"Hello, this is not a picture at all.",
    "HTML": lambda: b"<!doctype html><html><body>404</body></html>",
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "ICO": lambda: encoded(RGB, "ICO"),
    "PPM": lambda: encoded(RGB, "PPM"),
    "JPEG 2000": lambda: encoded(RGB, "JPEG2000"),
    "PSD": lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(64),
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "PDF": lambda: b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "ZIP": lambda: b"PK\3\4" + bytes(60),
    "a JPEG behind a script": lambda: b"#!/bin/sh\necho hi\n" + encoded(RGB, "JPEG"),
    "a JPEG's first bytes": lambda: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "zeros": lambda: bytes(100_000),
    "PNG of no width": lambda: png(0, 8),
    "HEIC brand without content": lambda: b"\0\0\0\x18ftypheic" + bytes(64),
    "AVIF brand without content": lambda: b"\0\0\0\x18ftypavif" + bytes(64),
    "video": lambda: b"\0\0\0\x18ftypisom\0\0\0\1isommp42" + bytes(64),
    "TIFF whose directory lies outside": lambda: b"II*\0\xff\xff\xff\x7f" + bytes(32),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_files_are_refused_at_the_header(name: str) -> None:
    with pytest.raises(
        UnreadableImageError, match=r"Send a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC file\."
    ) as caught:
        header_of(REFUSED[name]())
    assert str(pickle.loads(pickle.dumps(caught.value))) == caught.value.message  # noqa: S301


def test_a_bomb_in_a_chunk_is_not_inflated() -> None:
    """Such a picture is accepted: chunks around the pixels are skipped unread."""
    for data in (text_bomb(), profile_bomb()):
        tracemalloc.start()
        assert header_of(data).width == 8
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6_000_000


def test_a_picture_with_something_else_behind_it_is_a_picture() -> None:
    """Trailing bytes are harmless: they are never interpreted."""
    for file_format in ("JPEG", "PNG", "BMP"):
        data = encoded(RGB, file_format, quality=95) + b"PK\3\4<script>alert(1)</script>" * 50
        assert np.abs(pixels_of(data).astype(int) - corners())[4:16, 4:24].max() <= 12


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_ends_early_is_refused(name: str, share: float) -> None:
    file_format, options, _ = FORMATS[name]
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    data = encoded(PillowImage.fromarray(noise), file_format, **options)
    cut = data[: int(len(data) * share)]
    for long_side in (None, 30):
        with pytest.raises(UnreadableImageError) as caught:
            decode(cut, header_of(cut), long_side=long_side)
        assert caught.value.message.endswith(".")


@settings(max_examples=150)
@given(st.sampled_from(sorted(FORMATS)), st.data())
def test_damage_gives_a_picture_or_a_clear_error(name: str, data: st.DataObject) -> None:
    """Bytes overwritten, removed or inserted anywhere: pixels of the promised size or one of our errors."""
    file_format, options, _ = FORMATS[name]
    file = bytearray(encoded(RGB, file_format, **options))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(file) - 1))
        file[place : place + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=6))
    try:
        header = header_of(bytes(file))
        image, _ = decode(bytes(file), header)
    except SemblanceError as error:
        assert isinstance(error, UnreadableImageError | ImageTooLargeError)
    else:
        assert image.shape == (header.height, header.width, 3)


@settings(max_examples=100)
@given(
    st.sampled_from(
        [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*"]
    ),
    st.binary(max_size=300),
)
def test_garbage_behind_a_signature_is_refused(signature: bytes, body: bytes) -> None:
    data = signature + body
    with pytest.raises((UnreadableImageError, ImageTooLargeError)):
        decode(data, header_of(data))


def test_overlapping_reads_leave_the_warning_filters_as_they_were() -> None:
    """Threads read files that make the parser warn; `error` filters would make it raise."""
    exif_data = exif(1).tobytes()
    odd = encoded(RGB, "JPEG", exif=exif_data[:-8])
    before = list(warnings.filters)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(30):
                decode(odd, header_of(odd))
                header_of(png(1_000, 1_000))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert warnings.filters == before


@pytest.mark.parametrize(
    "file",
    [*photos.ALL, *(pytest.param(path, marks=pytest.mark.photos) for path in wide_photos.ALL)],
    ids=lambda path: path.name,
)
def test_a_real_photo_decodes_to_the_size_its_header_claims(file: Path) -> None:
    """And the reduced picture shows the same."""
    data = file.read_bytes()
    header = header_of(data)
    image, _ = decode(data, header)
    assert image.shape == (header.height, header.width, 3)
    small, scale = decode(data, header, long_side=200)
    assert max(small.shape) >= min(200, max(image.shape))
    assert_shows_the_same(small, image, round(1 / scale))


SHAPED: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded(PillowImage.new("RGB", (1, 60_000)), "PNG"),
    "WebP": lambda: encoded(PillowImage.new("RGB", (16_383, 8)), "WEBP", lossless=True),
    "JPEG on its side": lambda: encoded(PillowImage.new("RGB", (420, 20)), "JPEG", exif=exif(6).tobytes()),
    "GIF": lambda: encoded(PillowImage.new("P", (2, 41)), "GIF"),
}


@pytest.mark.parametrize("name", SHAPED)
def test_a_strip_is_refused_at_the_header(name: str) -> None:
    with pytest.raises(ImageTooLargeError, match=r"at most 20 times as long as the other\. Cut out"):
        header_of(SHAPED[name]())


def test_a_panorama_is_taken() -> None:
    assert header_of(encoded(PillowImage.new("RGB", (2_000, 100)), "JPEG")).width == 2_000


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("divisor", [1, 2, 8, 16])
def test_a_part_shows_what_the_whole_shows_there(file_format: str, orientation: int, divisor: int) -> None:
    """Of a size that no divisor divides: where the picture was turned, the cut block comes first."""
    picture = PillowImage.fromarray(cv2.resize(corners(), (331, 203)))
    options = {"quality": 95} | ({"lossless": True} if file_format == "WEBP" else {})
    data = encoded(picture, file_format, exif=exif(orientation).tobytes(), **options)
    header = header_of(data)
    opened, full = OpenPhoto(data, header), pixels_of(data)
    for span in ((120, 90, 200, 150), (-50, -9, 40, 30), (header.width - 20, header.height - 17, 999, 999)):
        part, (left, top) = opened.part(span, divisor)
        height, width = part.shape[:2]
        assert left <= max(0, span[0]) and left + width * divisor >= min(span[2], header.width)
        assert top <= max(0, span[1]) and top + height * divisor >= min(span[3], header.height)
        around = cv2.copyMakeBorder(full, 16, 16, 16, 16, cv2.BORDER_REPLICATE)
        there = around[top + 16 : top + 16 + height * divisor, left + 16 : left + 16 + width * divisor]
        expected = cv2.resize(there, (width, height), interpolation=cv2.INTER_AREA)
        assert np.abs(part.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt", b"tEXt"])
@pytest.mark.parametrize("place", ["before the pixels", "behind the pixels"])
def test_a_png_with_much_metadata_is_read(kind: bytes, place: str) -> None:
    content = {
        b"iCCP": b"icc\0\0" + zlib.compress(bytes(3 * 2**20)),
        b"zTXt": b"Comment\0\0" + zlib.compress(b"a" * 3 * 2**20),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(b"a" * 3 * 2**20),
        b"tEXt": b"Comment\0" + b"a" * 3 * 2**20,
    }[kind]
    plain = encoded(RGB, "PNG")
    at = 33 if place == "before the pixels" else len(plain) - 12
    data = plain[:at] + chunk(kind, content) + plain[at:]
    np.testing.assert_array_equal(pixels_of(data), corners())


def test_a_png_of_many_chunks_is_refused_before_they_are_parsed() -> None:
    plain = encoded(RGB, "PNG")
    with pytest.raises(UnreadableImageError):
        header_of(plain[:33] + chunk(b"tEXt", b"a\0") * 100_000 + plain[33:])


def test_the_orientation_that_imagemagick_writes_into_a_png_text() -> None:
    block = exif(6).tobytes()
    text = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode())
    plain = encoded(turned(6), "PNG")
    np.testing.assert_array_equal(pixels_of(plain[:33] + chunk(b"zTXt", text) + plain[33:]), corners())


NOISE = PillowImage.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))

JPEGS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 16},
    "not subsampled": {"subsampling": 0},
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("long_side", [None, 80, 30])
def test_a_jpeg_cut_and_closed_with_an_end_mark_is_refused(name: str, long_side: int | None) -> None:
    data = encoded(NOISE, "JPEG", quality=90, **JPEGS[name])
    for kept in (len(data) // 3, len(data) // 2, len(data) - 200, len(data) - 12):
        cut = data[:kept] + b"\xff\xd9"
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            decode(cut, header_of(cut), long_side=long_side)


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_without_its_end_mark_is_whole(name: str) -> None:
    data = encoded(NOISE, "JPEG", quality=90, **JPEGS[name])
    np.testing.assert_array_equal(pixels_of(data[:-2]), pixels_of(data))
    np.testing.assert_array_equal(pixels_of(data[:-1]), pixels_of(data))


def test_a_progressive_jpeg_of_its_first_scans_is_refused() -> None:
    """It could be shown coarsely, because every scan covers the whole picture."""
    data = encoded(NOISE, "JPEG", quality=90, progressive=True)
    scans = [place for place in range(len(data)) if data[place : place + 2] == b"\xff\xda"]
    assert len(scans) > 3
    for scan in scans[1:]:
        tables = data.rindex(b"\xff\xc4", 0, scan)
        for cut in (data[:tables], data[:tables] + b"\xff\xd9", data[:scan]):
            with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
                pixels_of(cut)


def test_a_jpeg_of_its_first_component_is_refused() -> None:
    """Sequential with one scan per component, so it would be shown without colour."""
    plain = encoded(NOISE.convert("L"), "JPEG", quality=90)
    frame, scan = plain.index(b"\xff\xc0"), plain.index(b"\xff\xda")
    three = bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
    head = plain[:frame] + b"\xff\xc0\0\x11" + plain[frame + 4 : frame + 9] + b"\3" + three
    head += plain[frame + 13 : scan]
    scans = [b"\xff\xda\0\x08\1" + bytes([i, 0, 0, 63, 0]) + plain[scan + 10 : -2] for i in (1, 2, 3)]
    assert pixels_of(head + b"".join(scans) + b"\xff\xd9").shape == (240, 320, 3)
    for some in (scans[:1], scans[:2]):
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            pixels_of(head + b"".join(some) + b"\xff\xd9")


def test_a_png_without_its_end_chunk_is_whole() -> None:
    np.testing.assert_array_equal(pixels_of(encoded(RGB, "PNG")[:-12]), corners())


def test_odd_but_whole_jpegs_are_taken() -> None:
    """Bytes between the pixels and the end mark, as some cameras leave them: libjpeg warns."""
    data = encoded(NOISE, "JPEG", quality=90)
    odd = data[:-2] + bytes(20) + data[-2:]
    np.testing.assert_array_equal(pixels_of(odd), pixels_of(data))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_is_refused_or_whole(name: str) -> None:
    """Some bytes after the last pixel may be missing, such as checksums and end marks."""
    file_format, options, _ = FORMATS[name]
    data = encoded(RGB, file_format, **options)
    whole, taken = pixels_of(data), []
    for length in range(0, len(data), max(1, len(data) // 40)):
        try:
            image = pixels_of(data[:length])
        except UnreadableImageError:
            continue
        np.testing.assert_array_equal(image, whole)
        taken.append(length)
    assert all(length > len(data) * 0.7 for length in taken)


def test_transparency_of_a_gif_is_white_and_its_first_frame_counts() -> None:
    first = PillowImage.new("P", (56, 40), 1)
    first.putpalette([10, 20, 30, 200, 100, 50])
    first.paste(0, (0, 0, 28, 40))
    data = encoded(first, "GIF", transparency=0, save_all=True, append_images=[RGB.quantize(8)] * 3)
    image = pixels_of(data)
    assert image[0, 0].tolist() == [255, 255, 255]
    assert image[0, 50].tolist() == [200, 100, 50]


def test_heic_of_ten_bits() -> None:
    ramp = np.repeat(np.linspace(0, 65535, 64)[None], 64, axis=0).astype(np.uint16)
    colour = np.ascontiguousarray(np.stack([ramp, ramp, ramp], axis=-1))
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (64, 64), colour.tobytes()).save(buffer, quality=95)
    assert np.abs(pixels_of(buffer.getvalue()).astype(int) - (ramp / 257)[:, :, None]).max() <= 8


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("transform", [0, 2])
@pytest.mark.parametrize("profile", [False, True])
def test_a_jpeg_of_four_inks_cut_and_closed_with_an_end_mark_is_refused(
    name: str, transform: int, profile: bool
) -> None:
    """CMYK and YCCK, which Adobe's marker tells apart, for the detector and for display."""
    ink = {"icc_profile": cmyk_profile()} if profile else {}
    data = encoded(NOISE.convert("CMYK"), "JPEG", quality=90, **JPEGS[name], **ink)
    adobe = data.index(b"Adobe") + 11
    data = data[:adobe] + bytes([transform]) + data[adobe + 1 :]
    assert pixels_of(data).shape == (240, 320, 3)
    for kept in (len(data) // 3, len(data) // 2, len(data) - 200, len(data) - 12):
        cut = data[:kept] + b"\xff\xd9"
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            pixels_of(cut)
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            OpenPhoto(cut, header_of(cut)).displayed(100)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("end", [b"\xff\xd9", None])
def test_a_jpeg_cut_between_restart_markers_is_refused(mode: str, end: bytes | None) -> None:
    """Everything before the cut is sound. After it the file ends or continues with a later part."""
    data = encoded(NOISE.convert(mode), "JPEG", quality=90, restart_marker_blocks=4)
    marks = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    for mark in (marks[0], marks[len(marks) // 2], marks[-5]):
        later = next(m for m in marks if m > mark and data[m + 1] == 0xD0 + (data[mark + 1] - 0xD0 + 4) % 8)
        cut = data[:mark] + (end or data[later:])
        with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
            pixels_of(cut)


def in_pieces(name: str, many: int) -> bytes:
    """A picture after many meaningless segments."""
    jpeg, gif = encoded(RGB, "JPEG"), encoded(RGB.quantize(256), "GIF")
    pixels = 13 + (6 << (gif[10] & 7))
    head, piece, tail = {
        "empty segments": (jpeg[:2], b"\xff\xe1\0\2", jpeg[2:]),
        "fill bytes": (jpeg[:2], b"\xff", jpeg[2:]),
        "bytes between segments": (jpeg[:20], b"\0", jpeg[20:]),
        "comments": (gif[:pixels], b"!\xfe\1a\0", gif[pixels:]),
        "blocks of a comment": (gif[:pixels] + b"!\xfe", b"\1a", b"\0" + gif[pixels:]),
        "blocks of an extension": (gif[:pixels] + b"!\xff", b"\1a", b"\0" + gif[pixels:]),
    }[name]
    return head + piece * many + tail


@pytest.mark.parametrize(
    "name",
    [
        "empty segments",
        "fill bytes",
        "bytes between segments",
        "comments",
        "blocks of a comment",
        "blocks of an extension",
    ],
)
def test_a_file_in_many_pieces_is_refused_before_they_are_parsed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert header_of(in_pieces(name, 9_000)).width == 56
    reads = 0
    read = parsing._Source.read

    def counting(source: parsing._Source, size: int | None = -1, /) -> bytes:
        nonlocal reads
        reads += 1
        return read(source, size)

    monkeypatch.setattr(parsing._Source, "read", counting)
    with pytest.raises(UnreadableImageError, match="not a readable photo"):
        header_of(in_pieces(name, 2_000_000))
    assert reads < 110_000


def test_a_jpeg_of_many_segments_between_its_scans_is_refused() -> None:
    data = encoded(NOISE, "JPEG", progressive=True)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    tables = data.rindex(b"\xff\xc4", 0, second)
    several, many = (data[:tables] + b"\xff\xe1\0\2" * count + data[tables:] for count in (1_000, 10_000))
    np.testing.assert_array_equal(pixels_of(several), pixels_of(data))
    with pytest.raises(UnreadableImageError, match="damaged or incomplete"):
        pixels_of(many)


def in_tiff(jpeg: bytes, width: int, height: int) -> bytes:
    """A grey JPEG as the only strip of a TIFF."""
    tags = {256: width, 257: height, 258: 8, 259: 7, 262: 1, 273: 0, 277: 1, 278: height, 279: len(jpeg)}
    tags[273] = start = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    assert len(head) == start
    return head + jpeg


def test_a_jpeg_whose_scans_would_visit_too_many_pixels_is_refused_before_decoding() -> None:
    """199 kB of scans that change nothing kept a decoder busy for seven seconds."""
    small = encoded(PillowImage.new("L", (1000, 800)), "JPEG", progressive=True)
    most = MOST_SCANNED_PIXELS // (1000 * 800)
    assert header_of(with_scans(small, most)).width == 1000
    with pytest.raises(ImageTooCostlyError, match=f"{most + 1:,} scans"):
        header_of(with_scans(small, most + 1))
    np.testing.assert_array_equal(pixels_of(with_scans(small, 20)), pixels_of(small))


@pytest.mark.parametrize("alone", [b"\xff\x01", b"\xff\xd0", b"\xff\xff\x01", b"\xff\x00", b"x\xff\x01"])
def test_no_marker_that_stands_alone_hides_scans(alone: bytes) -> None:
    """Read as if it had a length, it would cover what follows, which the decoder goes through."""
    small = encoded(PillowImage.new("L", (400, 400)), "JPEG", progressive=True)
    many = with_scans(small, 40)
    last = small.rindex(b"\xff\xda")
    hidden = many[:last] + alone + many[last:]
    np.testing.assert_array_equal(pixels_of(hidden), pixels_of(small))
    assert number_of_scans(hidden) == 40


def test_scans_after_a_complete_sequential_one_are_never_decoded_and_count_for_nothing() -> None:
    plain = with_scans(encoded(PillowImage.new("L", (1000, 800)), "JPEG"), 50)
    assert plain.count(b"\xff\xda") == 50
    assert number_of_scans(plain) == 1


def test_a_jpeg_of_more_scans_than_are_counted_is_refused() -> None:
    tiny = encoded(PillowImage.new("L", (16, 16)), "JPEG", progressive=True)
    assert header_of(with_scans(tiny, 9_000)).width == 16
    large = encoded(PillowImage.new("L", (400, 400)), "JPEG", progressive=True)
    with pytest.raises(ImageTooCostlyError):
        header_of(with_scans(large, 20_000))


def test_a_jpeg_in_a_tiff_has_at_most_16_scans() -> None:
    grey = encoded(PillowImage.new("L", (256, 256), 90), "JPEG", progressive=True)
    np.testing.assert_array_equal(pixels_of(in_tiff(with_scans(grey, 16), 256, 256)), pixels_of(grey))
    with pytest.raises(UnreadableImageError):
        pixels_of(in_tiff(with_scans(grey, 17), 256, 256))


@pytest.mark.parametrize("with_exif", [False, True])
@pytest.mark.parametrize("file_format", ["JPEG", "CMYK", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_xmp_turns_no_picture(file_format: str, with_exif: bool) -> None:
    """Browsers also follow EXIF alone."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="1"/></x:xmpmeta>'
    options: dict[str, Any] = {"xmp": xmp}
    if file_format == "TIFF":
        options = {"tiffinfo": {700: xmp}}
    elif file_format == "PNG":
        texts = PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options = {"pnginfo": texts}
    elif file_format == "CMYK":
        options["icc_profile"] = cmyk_profile()
    if with_exif and file_format != "TIFF":
        block = PillowImage.Exif()
        block[0x010F] = "Camera"
        options["exif"] = block.tobytes()
    picture = RGB.convert("CMYK") if file_format == "CMYK" else RGB
    data = encoded(picture, "JPEG" if file_format == "CMYK" else file_format, **options)
    # Only here, because encoders turn a picture by it.
    assert b'Orientation="1"' in data
    data = data.replace(b'Orientation="1"', b'Orientation="6"')
    assert pixels_of(data).shape == (40, 56, 3)
    assert OpenPhoto(data, header_of(data)).displayed(56).shape == (40, 56, 3)
