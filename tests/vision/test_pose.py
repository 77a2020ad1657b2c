from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.vision.pose import estimate_pose
from tests.support import wide_photos
from tests.support.photos import ASTRONAUT, GROUP, OBAMA, FindFaces
from tests.support.shapes import flipped, level_face, moved


@pytest.mark.parametrize("degrees", [-170, -90, -30, 0, 30, 75, 170])
def test_turning_the_image_adds_to_the_roll_alone(degrees: float, find_faces: FindFaces) -> None:
    landmarks = find_faces(OBAMA)[0].landmarks
    before, after = estimate_pose(np.stack([landmarks, moved(landmarks, degrees, 1.7, 40, -9)]))
    assert (after.roll - before.roll - degrees + 180) % 360 - 180 == pytest.approx(0, abs=0.01)
    assert after.yaw == pytest.approx(before.yaw, abs=0.01)
    assert after.pitch == pytest.approx(before.pitch, abs=0.01)


def test_mirroring_the_image_flips_yaw_and_roll(find_faces: FindFaces) -> None:
    for landmarks in (face.landmarks for path in (GROUP, ASTRONAUT) for face in find_faces(path)):
        before, after = estimate_pose(np.stack([landmarks, flipped(landmarks, 1000)]))
        assert (after.yaw, after.roll) == pytest.approx((-before.yaw, -before.roll), abs=0.05)
        assert after.pitch == pytest.approx(before.pitch, abs=0.05)


@given(st.floats(-40, 40), st.floats(-25, 25), st.floats(-60, 60))
def test_a_turned_model_is_recovered(yaw: float, pitch: float, roll: float) -> None:
    """The rigid points of a face in three dimensions, turned and projected, give back the angles."""
    from deployments.vision import pose as module

    a, b, c = np.radians([yaw, pitch, roll])
    ry = np.array([(np.cos(a), 0, np.sin(a)), (0, 1, 0), (-np.sin(a), 0, np.cos(a))])
    rx = np.array([(1, 0, 0), (0, np.cos(b), -np.sin(b)), (0, np.sin(b), np.cos(b))])
    rz = np.array([(np.cos(c), -np.sin(c), 0), (np.sin(c), np.cos(c), 0), (0, 0, 1)])
    landmarks = np.zeros((1, 68, 2), np.float32)
    landmarks[0, module._INDICES] = (module._MODEL @ (rz @ ry @ rx).T * 150 + (300, 200, 0))[:, :2]
    found = estimate_pose(landmarks)[0]
    assert (found.yaw, found.pitch, found.roll) == pytest.approx((yaw, pitch, roll), abs=0.05)


def test_signs_on_photos(find_faces: FindFaces) -> None:
    """In the group, the person at the right and the second from the left look to their right; the person in
    the middle looks down."""
    poses = estimate_pose(np.stack([face.landmarks for face in find_faces(GROUP)]))
    by_place = [
        pose for _, pose in sorted(zip(find_faces(GROUP), poses, strict=True), key=lambda p: p[0].bbox.x1)
    ]
    assert by_place[1].yaw < -20
    assert by_place[4].yaw < -20
    assert by_place[3].pitch < -12
    mirrored = estimate_pose(np.stack([flipped(face.landmarks, 1280) for face in find_faces(GROUP)]))
    assert max(pose.yaw for pose in mirrored) > 20


@pytest.mark.photos
def test_signs_on_posed_photos(find_faces: FindFaces) -> None:
    def pose(name: str) -> tuple[float, float]:
        found = estimate_pose(find_faces(wide_photos.hard(name))[0].landmarks[None])[0]
        return found.yaw, found.pitch

    assert pose("pose-left-face.jpeg")[0] < -35
    assert pose("pose-right-face.png")[0] > 35
    assert pose("pose-rise-face.jpeg")[1] > 12
    assert pose("pose-lower-face.jpeg")[1] < -12


@pytest.mark.photos
def test_people_who_look_at_the_camera_are_level(find_faces: FindFaces) -> None:
    landmarks = np.stack([face.landmarks for path in wide_photos.PORTRAITS for face in find_faces(path)])
    poses = estimate_pose(landmarks)
    assert abs(np.median([p.pitch for p in poses])) < 5
    assert abs(np.median([p.yaw for p in poses])) < 7
    assert max(abs(p.yaw) for p in poses) < 35
    assert max(abs(p.roll) for p in poses) < 20


@pytest.mark.parametrize("photo", [OBAMA, ASTRONAUT], ids=lambda path: path.stem)
def test_a_person_who_looks_at_the_camera_is_level(find_faces: FindFaces, photo: Path) -> None:
    pose = estimate_pose(find_faces(photo)[0].landmarks[None])[0]
    assert max(abs(pose.yaw), abs(pose.pitch), abs(pose.roll)) < 7


def test_no_faces_and_degenerate_faces() -> None:
    assert estimate_pose(np.zeros((0, 68, 2), np.float32)) == []
    found = estimate_pose(np.zeros((1, 68, 2), np.float32))[0]
    assert np.isfinite([found.yaw, found.pitch, found.roll]).all()


def test_one_and_many_agree() -> None:
    rng = np.random.default_rng(3)
    faces = (level_face() + rng.normal(0, 2, (5, 68, 2))).astype(np.float32)
    together = estimate_pose(faces)
    for face, expected in zip(faces, together, strict=True):
        assert estimate_pose(face[None])[0] == expected
