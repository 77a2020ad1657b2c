"""What a file's parser gets to see, and what opening a file costs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from deployments.vision import png, webp
from deployments.vision.decode import decode, read_header
from deployments.vision.parsing import open_file
from tests.support.photos import encoded

NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 4), np.uint8)
RGB = PillowImage.fromarray(NOISE[:, :, :3])
RGBA = PillowImage.fromarray(NOISE)

PARSERS = """
from io import BytesIO
from PIL import Image
from deployments.vision import parsing

buffer = BytesIO()
Image.new("RGB", (8, 8)).save(buffer, "WEBP")
before = {*Image.OPEN}
parsing.open_file(buffer.getvalue())
# Pillow's own start adds PPM.
print({*parsing.FORMATS} <= before, {*Image.OPEN} - before <= {"PPM"})
"""


def turned() -> bytes:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def test_the_first_photo_loads_no_further_parsers() -> None:
    run = subprocess.run([sys.executable, "-c", PARSERS], check=True, capture_output=True, text=True)
    assert run.stdout.split() == ["True", "True"]


def test_a_png_is_copied_only_to_leave_something_out() -> None:
    plain = encoded(RGB, "PNG", exif=turned())
    assert png.without_metadata(plain) is plain
    notes = PngInfo()
    notes.add_text("Comment", "long" * 100)
    assert png.without_metadata(encoded(RGB, "PNG", exif=turned(), pnginfo=notes)) == plain
    assert png.without_metadata(plain + b"more") == plain
    assert png.without_metadata(plain[:-12]) == plain
    assert png.without_metadata(plain[:-15]) == plain[:-15]


def test_libvips_gets_neither_exif_data_nor_profile() -> None:
    plain = encoded(RGB, "PNG", transparency=(1, 2, 3))
    described = encoded(RGB, "PNG", transparency=(1, 2, 3), exif=turned(), icc_profile=b"profile")
    assert b"eXIf" in described
    assert b"iCCP" in described
    assert png.without_profiles(described) == plain
    assert png.without_profiles(plain) is plain
    pixels = plain.index(b"IDAT") - 4
    for cut in range(1, len(plain) - pixels):
        assert png.without_profiles(described[:-cut]) == plain[:-cut]
    for length in range(len(described) - len(plain) + pixels):
        assert len(png.without_profiles(described[:length])) <= length


@pytest.mark.parametrize("image", [RGB, RGBA], ids=["RGB", "RGBA"])
def test_the_parser_of_a_lossless_webp_gets_its_header_alone(image: PillowImage.Image) -> None:
    data = encoded(image, "WEBP", lossless=True, exif=turned(), icc_profile=b"profile")
    short = webp.without_pixels(data)
    assert webp.without_pixels(data + b"more") == short
    assert len(data) > 10_000
    assert len(short) < 500
    with open_file(data) as opened:
        assert (opened.mode, opened.size, opened.info["icc_profile"]) == (image.mode, image.size, b"profile")
    header = read_header(data, max_bytes=len(data), max_pixels=80 * 60)
    assert (header.width, header.height, header.orientation) == (60, 80, 6)
    assert decode(data, header)[0].shape == (80, 60, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        encoded(RGB, "WEBP"),
        encoded(RGB, "WEBP", lossless=True)[:-1],
        b"RIFF\xff\xff\0\0" + encoded(RGB, "WEBP", lossless=True)[8:],
        b"RIFF\x40\0\0\0" + encoded(RGB, "WEBP", lossless=True)[8:],
        encoded(RGB, "WEBP", lossless=True, save_all=True, append_images=[RGBA]),
        b"RIFF\0\0\0\0WEBP" + b"VP8X\0\0\0\0" * 1000,
    ],
    ids=["empty", "short", "lossy", "cut", "too long", "too short", "animated", "many chunks"],
)
def test_any_other_webp_stays_as_it_is(data: bytes) -> None:
    assert webp.without_pixels(data) is data


@pytest.mark.parametrize("image", [RGB, RGBA], ids=["RGB", "RGBA"])
@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "lossy"])
@pytest.mark.parametrize("options", [{}, {"icc_profile": b"profile"}], ids=["simple", "extended"])
def test_the_size_of_a_webp_is_read_without_its_parser(
    image: PillowImage.Image, lossless: bool, options: dict[str, bytes]
) -> None:
    data = encoded(image, "WEBP", lossless=lossless, **options)
    assert webp.size_of(data) == image.size
    assert webp.size_of(data[:29]) is None


@pytest.mark.parametrize("data", [b"", encoded(RGB, "PNG"), b"RIFF\0\0\0\0WEBPnone" + bytes(20)])
def test_what_is_no_webp_has_no_such_size(data: bytes) -> None:
    assert webp.size_of(data) is None


@pytest.mark.parametrize("lossless", [True, False], ids=["lossless", "lossy"])
@pytest.mark.parametrize("more", [b"x", b"more" * 10], ids=["byte", "bytes"])
def test_a_webp_with_bytes_after_its_end_is_read(lossless: bool, more: bytes) -> None:
    data = encoded(RGB, "WEBP", lossless=lossless)
    header = read_header(data + more, max_bytes=len(data + more), max_pixels=80 * 60)
    assert np.array_equal(decode(data + more, header)[0], decode(data, header)[0])


@pytest.mark.parametrize("image", [RGB, RGBA], ids=["RGB", "RGBA"])
def test_a_colour_png_gives_the_pixels_that_pillow_reads(image: PillowImage.Image) -> None:
    paper = PillowImage.new("RGBA", image.size, "white")
    paper.alpha_composite(image.convert("RGBA"))
    data = encoded(image, "PNG")
    pixels, _ = decode(data, read_header(data, max_bytes=len(data), max_pixels=80 * 60))
    assert np.abs(pixels.astype(int) - np.asarray(paper.convert("RGB"))).max() <= (image is RGBA)
