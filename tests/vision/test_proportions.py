"""Symmetry and geometry: what they must not depend on, and the values of real faces."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.vision.geometry import face_geometry
from deployments.vision.landmarks import MIRROR
from deployments.vision.symmetry import symmetry_score
from tests.support import wide_photos
from tests.support.photos import GROUP, OBAMA, SINGLE, FindFaces
from tests.support.shapes import flipped, level_face, moved

seeds = st.integers(0, 10_000)


def uneven_face(seed: int) -> np.ndarray:
    return (level_face() + np.random.default_rng(seed).normal(0, 3, (68, 2))).astype(np.float32)


def test_mirror_pairs_are_mutual() -> None:
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    assert [i for i in range(68) if MIRROR[i] == i] == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    # Numbered from left to right: mirrored, the left brow's outer end is the right brow's.
    assert [MIRROR[i] for i in (0, 17, 21, 36, 39, 48, 60)] == [16, 26, 22, 45, 42, 54, 64]


@given(st.floats(-180, 180), st.floats(0.1, 10), st.floats(-2000, 2000))
def test_a_perfect_face_is_perfect_wherever_it_is(degrees: float, scale: float, shift: float) -> None:
    score = symmetry_score(moved(level_face(), degrees, scale, shift, -shift)[None])[0]
    assert score == pytest.approx(1.0, abs=1e-3)


@given(seeds, st.floats(-180, 180), st.floats(0.2, 5))
def test_symmetry_and_geometry_are_of_the_face_not_of_the_photo(
    seed: int, degrees: float, scale: float
) -> None:
    face = uneven_face(seed)
    variants = np.stack([face, moved(face, degrees, scale, 70, -30), flipped(face, 640)])
    scores = symmetry_score(variants)
    np.testing.assert_allclose(scores, scores[0], atol=2e-4)
    ratios = np.array([astuple(g) for g in face_geometry(variants)])
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[0], ratios.shape), atol=2e-4)


def test_symmetry_falls_with_unevenness() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (68, 2))
    faces = np.stack([level_face() + amount * noise for amount in (0, 1, 3, 9)]).astype(np.float32)
    scores = symmetry_score(faces)
    assert (np.diff(scores) < -0.01).all()
    assert (scores > 0).all()
    assert scores.dtype == np.float32


@pytest.mark.photos
def test_symmetry_falls_with_yaw_on_posed_photos(find_faces: FindFaces) -> None:
    level, turned = (
        find_faces(wide_photos.hard(name))[0].landmarks
        for name in ("emotion-happy.png", "pose-left-face.jpeg")
    )
    scores = symmetry_score(np.stack([level, turned]))
    assert scores[0] > 0.9
    assert scores[1] < 0.4


def test_symmetry_falls_with_yaw(find_faces: FindFaces) -> None:
    # The fifth face of the group from the left looks to the side.
    level, turned = find_faces(OBAMA)[0], sorted(find_faces(GROUP), key=lambda face: face.bbox.x1)[4]
    scores = symmetry_score(np.stack([level.landmarks, turned.landmarks]))
    assert scores[0] > 0.9
    assert scores[1] < 0.5


def test_known_ratios() -> None:
    """The synthetic face: 140 wide, 123 from inner brow to chin, eyes 64 apart."""
    found = face_geometry(level_face()[None])[0]
    jaw = 2 * 70 * np.cos(5 * np.pi / 16)
    assert astuple(found) == pytest.approx((140 / (1.5 * 122), 64 / 140, jaw / 140, 1.5 * 24 / 140), abs=2e-3)


@pytest.mark.parametrize(
    "photos",
    [
        pytest.param((*SINGLE, GROUP), id="packaged"),
        pytest.param(wide_photos.PORTRAITS, id="wide", marks=pytest.mark.photos),
    ],
)
def test_real_faces_come_out_near_the_values_that_stand_for_an_unknown_one(
    find_faces: FindFaces, photos: tuple[Path, ...]
) -> None:
    landmarks = np.stack([face.landmarks for path in photos for face in find_faces(path)])
    ratios = np.array([astuple(g) for g in face_geometry(landmarks)])
    np.testing.assert_allclose(np.median(ratios, axis=0), (0.75, 0.42, 0.68, 0.25), atol=0.04)
    assert (ratios > 0).all()
    assert (ratios < 1.2).all()
    assert np.median(symmetry_score(landmarks)) == pytest.approx(0.75, abs=0.12)


def test_no_faces_and_degenerate_faces() -> None:
    assert face_geometry(np.zeros((0, 68, 2), np.float32)) == []
    assert symmetry_score(np.zeros((0, 68, 2), np.float32)).shape == (0,)
    assert astuple(face_geometry(np.zeros((1, 68, 2), np.float32))[0]) == (0, 0, 0, 0)
    assert symmetry_score(np.zeros((1, 68, 2), np.float32))[0] == 0
