from __future__ import annotations

from dataclasses import astuple

import cv2
import numpy as np
import pytest

from deployments.vision.align import square_crop
from deployments.vision.decode import decode, read_header
from deployments.vision.quality import measure_quality
from semblance.types import Box, Image
from tests.support import wide_photos
from tests.support.photos import GROUP, SINGLE, FindFaces

GOOD_ENOUGH = 0.6
"""What matching asks of a face."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((*SINGLE, GROUP), id="packaged"),
        pytest.param(wide_photos.PORTRAITS, id="wide", marks=pytest.mark.photos),
    ],
)
def crops(request: pytest.FixtureRequest, find_faces: FindFaces) -> list[Image]:
    return [face.crops.portrait for path in request.param for face in find_faces(path)]


def test_portraits_are_good_enough(crops: list[Image]) -> None:
    found = measure_quality(np.stack(crops))
    assert min(quality.overall for quality in found) >= GOOD_ENOUGH


@pytest.mark.photos
def test_blurred_photo_is_not() -> None:
    data = wide_photos.hard("blur.jpg").read_bytes()
    image, _ = decode(data, read_header(data, max_bytes=10**7, max_pixels=10**7))
    # No detector finds this face, so its place is given by hand.
    portrait, _ = square_crop(image, Box(110, 50, 390, 330), 112)
    found = measure_quality(portrait[None])[0]
    assert found.blur_score < 0.35
    assert found.overall < GOOD_ENOUGH - 0.05


@pytest.mark.parametrize("sigma", [1.5, 2.0, 4.0])
def test_blur_lowers_sharpness_below_the_limit(crops: list[Image], sigma: float) -> None:
    before = measure_quality(np.stack(crops))
    after = measure_quality(np.stack([cv2.GaussianBlur(crop, (0, 0), sigma) for crop in crops]))
    for sharp, blurred in zip(before, after, strict=True):
        assert blurred.blur_score < sharp.blur_score / 1.5
        assert blurred.overall < GOOD_ENOUGH


def _darkened(crop: Image) -> Image:
    return (crop * 0.2).astype(np.uint8)


def _blown_out(crop: Image) -> Image:
    return np.clip(crop.astype(float) * 1.5 + 150, 0, 255).astype(np.uint8)


def _grey(crop: Image) -> Image:
    return (128 + (crop.astype(float) - 128) * 0.02).astype(np.uint8)


def _half_in_shadow(crop: Image) -> Image:
    shadowed = crop.copy()
    shadowed[:, :56] //= 12
    return shadowed


@pytest.mark.parametrize("spoil", [_darkened, _blown_out, _grey])
def test_bad_light_is_below_the_limit(crops: list[Image], spoil: object) -> None:
    assert callable(spoil)
    for quality in measure_quality(np.stack([spoil(crop) for crop in crops])):
        assert quality.illumination < 0.5
        assert quality.overall < GOOD_ENOUGH


def test_light_from_one_side_is_worse(crops: list[Image]) -> None:
    before = measure_quality(np.stack(crops))
    after = measure_quality(np.stack([_half_in_shadow(crop) for crop in crops]))
    lowered = [b.illumination - a.illumination for b, a in zip(before, after, strict=True)]
    assert min(lowered) > 0.05
    assert np.median(lowered) > 0.4


@pytest.mark.parametrize("value", [0, 1, 128, 255])
def test_a_blank_picture_is_worthless(value: int) -> None:
    found = measure_quality(np.full((1, 112, 112, 3), value, np.uint8))[0]
    assert astuple(found)[:3] == (0, 0, 0)


def test_all_scores_lie_within_0_and_1() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 112, 112, 3), dtype=np.uint8)
    for quality in measure_quality(noise):
        assert all(0 <= value <= 1 for value in astuple(quality)[:3])
    assert measure_quality(noise[:0]) == []
