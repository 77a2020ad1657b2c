"""What would take too much memory or time is refused before it is decoded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.vision import decode as decode_module
from deployments.vision import parsing
from deployments.vision.decode import MOST_SCANNED_PIXELS
from deployments.vision.jpeg import number_of_scans
from semblance.errors import ImageTooCostlyError, ImageTooLargeError, UnreadableImageError
from tests.support.decoding import (
    NOISE,
    RGB,
    chunk,
    exif,
    header_of,
    pixels_of,
    png,
    with_transparency,
)
from tests.support.photos import encoded, with_scans


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


def test_a_bomb_in_a_chunk_is_not_inflated() -> None:
    """Such a picture is accepted: chunks around the pixels are skipped unread."""
    for data in (text_bomb(), profile_bomb()):
        tracemalloc.start()
        assert header_of(data).width == 8
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 6_000_000


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


def test_a_png_of_many_chunks_is_refused_before_they_are_parsed() -> None:
    plain = encoded(RGB, "PNG")
    with pytest.raises(UnreadableImageError):
        header_of(plain[:33] + chunk(b"tEXt", b"a\0") * 100_000 + plain[33:])


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
