"""A progressive JPEG is decoded once for all sizes."""

from __future__ import annotations

import io
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.vision import pixels
from deployments.vision.decode import OpenPhoto, decode, read_header
from deployments.vision.jpeg import decode_whole, is_progressive


def _jpeg(progressive: bool, size: tuple[int, int] = (1001, 703)) -> bytes:
    """A smooth photo: averaging its pixels and scaling its coefficients give nearly the same."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    photo = np.stack([x, y, 255 - x], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    PillowImage.fromarray(photo).save(file, "JPEG", quality=95, progressive=progressive)
    return file.getvalue()


def _open(data: bytes) -> OpenPhoto:
    return OpenPhoto(data, read_header(data, max_bytes=10**7, max_pixels=10**7))


def test_the_order_of_the_coefficients_is_told_from_the_frame() -> None:
    assert is_progressive(_jpeg(progressive=True))
    assert not is_progressive(_jpeg(progressive=False))
    assert not is_progressive(b"\xff\xd8")


@pytest.mark.parametrize(("progressive", "decodings"), [(True, 1), (False, 2)])
def test_a_finer_part_costs_a_progressive_photo_no_second_decoding(progressive: bool, decodings: int) -> None:
    photo = _open(_jpeg(progressive))
    with patch.object(pixels, "decode_whole", wraps=decode_whole) as decoder:
        photo.whole(500)
        photo.part((100, 100, 400, 400), 1)
    assert decoder.call_count == decodings


def test_a_large_progressive_photo_is_decoded_at_the_size_asked_for() -> None:
    with (
        patch.object(pixels, "_AT_ONCE", 1000),
        patch.object(pixels, "decode_whole", wraps=decode_whole) as spy,
    ):
        _open(_jpeg(progressive=True)).whole(500)
    assert spy.call_args.args[2:] == (501, 352)


@pytest.mark.parametrize("long_side", [500, 250, 125, 62])
def test_both_orders_give_the_same_pixels(long_side: int) -> None:
    files = [_jpeg(progressive) for progressive in (True, False)]
    headers = [read_header(data, max_bytes=10**7, max_pixels=10**7) for data in files]
    (once, scale), (twice, same_scale) = (
        decode(data, header, long_side=long_side) for data, header in zip(files, headers, strict=True)
    )
    assert once.shape == twice.shape and scale == same_scale
    assert np.abs(once.astype(int) - twice).max() <= 3
