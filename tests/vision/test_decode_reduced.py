"""Pictures decoded smaller, and parts of them, show what the whole shows."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.vision.decode import OpenPhoto, decode
from tests.support import photos, wide_photos
from tests.support.decoding import (
    assert_shows_the_same,
    corners,
    exif,
    header_of,
    pixels_of,
)
from tests.support.photos import encoded


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
