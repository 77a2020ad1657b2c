from __future__ import annotations

import cv2
import numpy as np
import pytest

from deployments.vision.skin import skin_tone
from semblance.types import Image
from tests.support.photos import ASTRONAUT, OBAMA, FindFaces
from tests.support.shapes import level_face, moved

LANDMARKS = moved(level_face(), 0, 0.62, 56, 42)


def parts(colours: dict[str, tuple[int, int, int]]) -> Image:
    """A flat face: `skin` within the jaw, `features` in eyes, brows and mouth, `rest` elsewhere."""
    picture = np.full((112, 112, 3), colours["rest"], np.uint8)
    points = np.rint(LANDMARKS).astype(np.int32)
    cv2.fillConvexPoly(picture, cv2.convexHull(points[:27]), colours["skin"])
    for part in (slice(17, 22), slice(22, 27), slice(36, 42), slice(42, 48), slice(48, 60)):
        cv2.fillConvexPoly(picture, cv2.convexHull(points[part]), colours["features"])
    return picture


@pytest.mark.parametrize(
    "skin", [(255, 224, 196), (198, 134, 66), (141, 85, 36), (60, 35, 25), (128, 128, 128)]
)
def test_flat_skin_is_found_exactly_in_real_cielab(skin: tuple[int, int, int]) -> None:
    from skimage.color import rgb2lab  # which takes a second

    picture = parts({"skin": skin, "features": (20, 10, 200), "rest": (10, 220, 10)})
    found = skin_tone(picture[None], LANDMARKS[None])[0]
    expected = rgb2lab(np.array(skin, np.float64) / 255)
    assert np.linalg.norm(np.array(found.lab) - expected) < 0.6
    assert np.abs(np.array([int(found.hex[i : i + 2], 16) for i in (1, 3, 5)]) - skin).max() <= 1


def test_the_largest_cluster_wins() -> None:
    """A beard over the lower third, a highlight on the forehead: the colour of the cheeks remains."""
    picture = parts({"skin": (198, 134, 66), "features": (0, 0, 0), "rest": (255, 255, 255)})
    picture[80:] = (30, 25, 20)
    picture[:30] = (250, 245, 240)
    found = skin_tone(picture[None], LANDMARKS[None])[0]
    assert found.hex in {"#c68642", "#c68643", "#c78642"}


def next_draws() -> object:
    """The next value of OpenCV's global random state."""
    return cv2.randu(np.zeros((1, 8), np.float32), np.zeros(1), np.ones(1))


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_answer_does_not_depend_on_random_state(seed: int, find_faces: FindFaces) -> None:
    face = find_faces(ASTRONAUT)[0].crops
    arguments = face.portrait[None], face.portrait_landmarks[None]
    expected = skin_tone(*arguments)
    cv2.setRNGSeed(seed)
    before = next_draws()
    cv2.setRNGSeed(seed)
    assert skin_tone(*arguments) == expected
    after = next_draws()
    np.testing.assert_array_equal(before, after)


def test_photos_of_the_same_light_order_by_lightness(find_faces: FindFaces) -> None:
    """Barack Obama's official portrait against Eileen Collins', both in studio light."""
    darker, lighter = (find_faces(path)[0].crops for path in (OBAMA, ASTRONAUT))
    found = skin_tone(
        np.stack([darker.portrait, lighter.portrait]),
        np.stack([darker.portrait_landmarks, lighter.portrait_landmarks]),
    )
    assert found[0].lab[0] < found[1].lab[0] - 8
    for tone in found:
        assert 5 < tone.lab[1] < 30
        assert 0 < tone.lab[2] < 40


def test_a_face_cut_by_the_picture_edge_ignores_the_padding() -> None:
    picture = parts({"skin": (198, 134, 66), "features": (20, 10, 200), "rest": (10, 220, 10)})
    picture[:, :64] = 0
    assert skin_tone(picture[None], LANDMARKS[None])[0].hex == "#c68642"


@pytest.mark.parametrize(
    "landmarks",
    [
        np.zeros((68, 2), np.float32),
        np.full((68, 2), 1e9, np.float32),
        np.full((68, 2), np.nan, np.float32),
        LANDMARKS + 400,
        LANDMARKS * 0.02,
    ],
    ids=["a point", "far away", "not numbers", "outside", "tiny"],
)
def test_without_skin_pixels_the_middle_stands_in(landmarks: np.ndarray) -> None:
    picture = np.zeros((1, 112, 112, 3), np.uint8)
    picture[:, 28:84, 28:84] = (198, 134, 66)
    assert skin_tone(picture, landmarks[None])[0].hex == "#c68642"


def test_a_black_portrait_is_black() -> None:
    found = skin_tone(np.zeros((1, 112, 112, 3), np.uint8), LANDMARKS[None])[0]
    assert found.hex == "#000000"
    assert found.lab == pytest.approx((0, 0, 0), abs=0.1)


def test_no_faces() -> None:
    assert skin_tone(np.zeros((0, 112, 112, 3), np.uint8), np.zeros((0, 68, 2), np.float32)) == []
