"""Every format, mode and orientation decodes to the same upright colours."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from deployments.vision.decode import OpenPhoto
from semblance.types import Image
from tests.support.decoding import (
    FORMATS,
    RGB,
    chunk,
    corners,
    exif,
    header_of,
    pixels_of,
    turned,
    with_transparency,
)
from tests.support.laden import cmyk_profile
from tests.support.photos import encoded


def grey_ramp() -> Image:
    return np.repeat(np.linspace(0, 255, 56).astype(np.uint8)[None], 40, axis=0)


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


def test_the_orientation_that_imagemagick_writes_into_a_png_text() -> None:
    block = exif(6).tobytes()
    text = b"Raw profile type exif\0\0" + zlib.compress(f"\nexif\n{len(block):8d}\n{block.hex()}\n".encode())
    plain = encoded(turned(6), "PNG")
    np.testing.assert_array_equal(pixels_of(plain[:33] + chunk(b"zTXt", text) + plain[33:]), corners())


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
