from __future__ import annotations

import math
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.vision.align import (
    five_points,
    landmark_box,
    reducible_side,
    resize_square,
    similarity_transform,
    square_crop,
    transform_points,
    warp,
    warp_scale,
)
from semblance.types import Box, Image
from tests.support.shapes import level_face, moved

ARCFACE = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)], np.float32)

angles = st.floats(-180, 180)
scales = st.floats(0.05, 20)
shifts = st.floats(-500, 500)


@cache
def smooth_picture(width: int, height: int) -> Image:
    """An image whose colour is a smooth known function of the position, so that any sample can be checked."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    channels = [128 + 100 * np.sin(x / 37), 128 + 100 * np.cos(y / 41), 128 + 100 * np.sin((x + y) / 53)]
    return np.asarray(np.rint(np.stack(channels, axis=-1)), np.uint8)


def test_five_points() -> None:
    landmarks = np.arange(2 * 68 * 2, dtype=np.float32).reshape(2, 68, 2)
    points = five_points(landmarks)
    assert points.shape == (2, 5, 2)
    for index, expected in enumerate([(36, 42), (42, 48), (30, 31), (48, 49), (54, 55)]):
        np.testing.assert_allclose(points[:, index], landmarks[:, slice(*expected)].mean(axis=1))


@given(angles, scales, shifts, shifts)
def test_similarity_is_recovered(degrees: float, scale: float, dx: float, dy: float) -> None:
    matrix = similarity_transform(ARCFACE, moved(ARCFACE, degrees, scale, dx, dy))
    assert warp_scale(matrix) == pytest.approx(scale, rel=1e-3)
    target = moved(ARCFACE, degrees, scale, dx, dy)
    np.testing.assert_allclose(transform_points(ARCFACE, matrix), target, atol=1e-2)


@given(st.integers(0, 10_000))
def test_similarity_agrees_with_umeyama_of_scikit_image(seed: int) -> None:
    """On noisy points, mirrored ones included, for which an unconstrained fit would reflect."""
    from skimage.transform import SimilarityTransform  # which takes a second

    rng = np.random.default_rng(seed)
    source = ARCFACE * rng.choice([1.0, -1.0], size=2) + rng.normal(0, 10, (5, 2))
    target = ARCFACE.astype(np.float64)
    expected = SimilarityTransform.from_estimate(source, target)
    matrix = similarity_transform(source, target)
    np.testing.assert_allclose(matrix, expected.params[:2], atol=1e-6)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize("source", [np.full((5, 2), 7.0), np.full((5, 2), np.nan)])
def test_similarity_of_coinciding_points_is_refused(source: np.ndarray) -> None:
    with pytest.raises(ValueError, match="define no transform"):
        similarity_transform(source, ARCFACE)


@given(st.floats(-180, 180), st.floats(0.08, 1.6))
def test_warp_samples_the_right_places(degrees: float, scale: float) -> None:
    """Each crop pixel has the colour of the image at the place that the inverse matrix names."""
    picture = smooth_picture(900, 700)
    matrix = similarity_transform(ARCFACE, moved(ARCFACE, degrees, scale, 0, 0))
    centre = transform_points(np.array([450.0, 350.0]), matrix)
    size = 48 if scale > 0.2 else 32
    matrix[:, 2] += (size - 1) / 2 - centre
    crop = warp(picture, matrix, size)
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    grid = np.stack(np.meshgrid(np.arange(float(size)), np.arange(float(size))), axis=-1).reshape(-1, 2)
    x, y = transform_points(grid, inverse).T
    inside = (x > 8) & (x < 891) & (y > 8) & (y < 691)
    expected = np.stack(
        [128 + 100 * np.sin(x / 37), 128 + 100 * np.cos(y / 41), 128 + 100 * np.sin((x + y) / 53)], axis=-1
    )
    assert inside.mean() > 0.5
    assert np.abs(crop.reshape(-1, 3)[inside] - expected[inside]).max() < 6


def test_warp_that_shrinks_does_not_alias() -> None:
    """Stripes finer than a crop pixel become their mean; plain bilinear sampling would show a moire."""
    stripes = np.zeros((1200, 1200, 3), np.uint8)
    stripes[:, ::2] = 255
    matrix = np.array([(0.1, 0.0, 0.3), (0.0, 0.1, 0.3)])
    inner = warp(stripes, matrix, 100)[5:-5, 5:-5]
    assert np.abs(inner.astype(int) - 127).max() < 15
    plain = cv2.warpAffine(stripes, matrix, (100, 100), flags=cv2.INTER_LINEAR)[5:-5, 5:-5]
    assert np.abs(plain.astype(int) - 127).max() > 100


@pytest.mark.parametrize("scale", [0.05, 0.3, 0.5, 1.0, 3.0])
def test_warp_outside_the_image_is_black(scale: float) -> None:
    picture = np.full((900, 900, 3), 200, np.uint8)
    assert not warp(picture, np.array([(scale, 0, -2000 * scale), (0, scale, 0)]), 32).any()
    # The image's left edge lies in the middle of the crop; interpolation blends one image pixel into black.
    half = warp(picture, np.array([(scale, 0, 15.5), (0, scale, -20 * scale)]), 32)
    blend = math.ceil(scale) + 1
    assert not half[:, : 16 - blend].any()
    assert (half[:, 16 + blend :] == 200).all()


def test_warp_touches_only_the_region_it_needs() -> None:
    """OpenCV refuses sources of more than 32767 pixels a side; the crop's own region is far smaller."""
    strip = np.zeros((40, 40_000, 3), np.uint8)
    strip[:, 39_000:] = 90
    crop = warp(strip, np.array([(1.0, 0, -39_500.0), (0, 1.0, 0)]), 32)
    assert (crop == 90).all()


@pytest.mark.parametrize("side", [7.0, 56.0, 111.0, 112.0, 113.0, 200.0, 224.0, 500.0, 641.0])
@pytest.mark.parametrize("corner", [(10.0, 20.0), (130.4, 47.8)])
def test_square_crop_and_its_matrix_agree(side: float, corner: tuple[float, float]) -> None:
    picture = smooth_picture(900, 760)
    box = Box(corner[0], corner[1], corner[0] + side, corner[1] + side)
    crop, matrix = square_crop(picture, box, 112)
    assert crop.shape == (112, 112, 3)
    assert crop.dtype == np.uint8
    assert matrix.shape == (2, 3)
    assert matrix.dtype == np.float32
    # The box fills the crop: never cut by more than a pixel, never more than a crop pixel of surplus.
    corners = transform_points(np.array([(box.x1, box.y1), (box.x2, box.y2)]), matrix)
    slack = 112 / side + 1
    np.testing.assert_allclose(corners[0], -0.5, atol=slack)
    np.testing.assert_allclose(corners[1], 111.5, atol=slack)
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))[:2]
    grid = np.stack(np.meshgrid(np.arange(2.0, 110), np.arange(2.0, 110)), axis=-1)
    x, y = np.moveaxis(transform_points(grid, inverse), -1, 0)
    expected = np.stack(
        [128 + 100 * np.sin(x / 37), 128 + 100 * np.cos(y / 41), 128 + 100 * np.sin((x + y) / 53)], axis=-1
    )
    assert np.abs(crop[2:110, 2:110] - expected).max() < 4


@pytest.mark.parametrize(("width", "height"), [(100, 60), (60, 100)])
def test_square_crop_squares_about_the_centre(width: int, height: int) -> None:
    box = Box(200, 200, 200 + width, 200 + height)
    _, matrix = square_crop(smooth_picture(500, 500), box, 50)
    centre = transform_points(np.array([box.x1 + width / 2, box.y1 + height / 2]), matrix)
    np.testing.assert_allclose(centre, 25.0, atol=0.5)
    assert warp_scale(matrix) == pytest.approx(0.5)


def test_square_crop_pads_with_black() -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)
    crop, matrix = square_crop(picture, Box(-50, -50, 50, 50), 100)
    assert not crop[:49].any() and not crop[:, :49].any()
    assert (crop[51:, 51:] == 200).all()
    np.testing.assert_allclose(transform_points(np.array([0.0, 0.0]), matrix), 50.0)
    outside, _ = square_crop(picture, Box(300, 300, 400, 400), 112)
    assert outside.shape == (112, 112, 3)
    assert not outside.any()


def test_landmark_box_grows_by_a_tenth_on_each_side() -> None:
    landmarks = level_face() + np.array([300, 200], np.float32)
    tight = landmark_box(landmarks, grow=0.0)
    box = landmark_box(landmarks)
    assert (tight.x1, tight.x2) == (float(landmarks[:, 0].min()), float(landmarks[:, 0].max()))
    assert box.width == pytest.approx(1.2 * tight.width)
    assert box.height == pytest.approx(1.2 * tight.height)
    assert box.x1 == pytest.approx(tight.x1 - 0.1 * tight.width)
    assert box.y2 == pytest.approx(tight.y2 + 0.1 * tight.height)


@pytest.mark.parametrize("side", [40, 111, 112, 113, 223, 224, 230, 613])
def test_a_square_reduced_in_steps_looks_like_one_reduced_at_once(side: int) -> None:
    whole = reducible_side(side, 112)
    assert side <= whole < side + max(1, side // 112)
    picture = smooth_picture(whole, whole)
    kernel = cv2.INTER_AREA if whole > 112 else cv2.INTER_LINEAR
    at_once = cv2.resize(picture, (112, 112), interpolation=kernel)
    assert np.abs(resize_square(picture, 112).astype(int) - at_once).max() <= 2
