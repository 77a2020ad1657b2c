"""Faces that are upside down or on their side, each judged by itself, and boxes that hold no face."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from deployments.faces.pipeline import LocalPipeline
from deployments.faces.upright import ANGLES, stand_upright
from deployments.faces.views import View, around, quarter_turned, reduction
from deployments.packs.nets import Candidates, DetectNet
from deployments.packs.registry import load_pack
from semblance.settings import Settings
from semblance.types import AnalyzedFace, Image
from tests.support.photos import ASTRONAUT, BIDEN, GROUP, MASKS, OBAMA, OBAMA_3, encoded

SETTINGS = Settings(execution_provider="cpu")


@pytest.fixture(scope="module")
def pipeline() -> LocalPipeline:
    return LocalPipeline(SETTINGS)


@pytest.fixture(scope="module")
def net() -> DetectNet:
    return load_pack(SETTINGS).detector()


def photo(path: object, side: int = 700) -> PillowImage.Image:
    with PillowImage.open(str(path)) as file:
        image = file.convert("RGB")
    image.thumbnail((side, side))
    return image


@pytest.fixture(scope="module")
def upright(pipeline: LocalPipeline) -> Callable[[Path], tuple[PillowImage.Image, AnalyzedFace]]:
    """A photo and its only face, described once for all tests."""

    @cache
    def of(path: Path) -> tuple[PillowImage.Image, AnalyzedFace]:
        image = photo(path)
        (face,) = described(pipeline, image)
        return image, face

    return of


def described(pipeline: LocalPipeline, image: PillowImage.Image) -> list[AnalyzedFace]:
    return pipeline.analyze_photo(encoded(image, "BMP"))[1]


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("angle", [0, 45])
def test_a_view_turned_by_quarters_is_the_one_cut_at_that_angle(quarters: int, angle: int) -> None:
    image = np.asarray(photo(OBAMA), np.uint8)
    view, box = View(image, 0, 0.0, reduction(0.5)), np.array([200, 100, 260, 190], np.float32)
    turned = quarter_turned(around(view, box, 2.0, angle, 97), quarters)
    cut = around(view, box, 2.0, angle + 90 * quarters, 97)
    assert turned.angle == cut.angle
    np.testing.assert_allclose(turned.matrix, cut.matrix, atol=1e-9)
    assert np.abs(turned.image.astype(int) - cut.image).max() <= 1


@pytest.mark.parametrize("path", [OBAMA, OBAMA_3, BIDEN, ASTRONAUT], ids=lambda path: path.stem)
@pytest.mark.parametrize("angle", [30, 60, 120, 150, 210, 240, 300, 330])
def test_a_face_embeds_alike_however_it_is_turned(
    pipeline: LocalPipeline,
    upright: Callable[[Path], tuple[PillowImage.Image, AnalyzedFace]],
    path: Path,
    angle: int,
) -> None:
    image, face = upright(path)
    (turned,) = described(pipeline, image.rotate(angle, PillowImage.Resampling.BICUBIC, expand=True))
    assert float(face.embedding @ turned.embedding) > 0.9
    assert turned.attributes.gender == face.attributes.gender


@pytest.mark.parametrize("angles", [(0, 180), (0, 90), (45, 225)])
def test_two_people_of_one_photo_may_be_turned_differently(
    pipeline: LocalPipeline, angles: tuple[int, int]
) -> None:
    people = [photo(path, 400) for path in (OBAMA_3, ASTRONAUT)]
    expected = [described(pipeline, person)[0].embedding for person in people]
    scene = PillowImage.new("RGB", (1_200, 700), (120, 130, 140))
    for index, (person, angle) in enumerate(zip(people, angles, strict=True)):
        scene.paste(person.rotate(angle, PillowImage.Resampling.BICUBIC, expand=True), (600 * index, 50))
    faces = described(pipeline, scene)
    assert len(faces) == 2
    for face in faces:
        similarity = [float(face.embedding @ embedding) for embedding in expected]
        assert similarity[face.detected.bbox.x1 > 590] > 0.85


@pytest.mark.parametrize("angle", [30, 120, 210, 300])
def test_a_group_is_found_however_it_is_turned(pipeline: LocalPipeline, angle: int) -> None:
    turned = photo(GROUP, 1_100).rotate(angle, PillowImage.Resampling.BICUBIC, expand=True)
    assert len(pipeline.finder.detect(encoded(turned, "BMP")).faces) >= 5


def test_faces_of_a_turned_photo_keep_their_boxes_and_order(
    pipeline: LocalPipeline, upright: Callable[[Path], tuple[PillowImage.Image, AnalyzedFace]]
) -> None:
    image, face = upright(ASTRONAUT)
    (turned,) = described(pipeline, image.transpose(PillowImage.Transpose.ROTATE_180))
    box, other = face.detected.bbox, turned.detected.bbox
    centre = np.array([box.x1 + box.x2, box.y1 + box.y2]) / 2
    again = np.array([other.x1 + other.x2, other.y1 + other.y2]) / 2
    np.testing.assert_allclose(again, np.array(image.size) - 1 - centre, atol=0.1 * box.height)
    landmarks = np.array(image.size) - 1 - face.detected.landmarks
    np.testing.assert_allclose(turned.detected.landmarks, landmarks, atol=0.1 * box.height)


def claimed(image: Image, *boxes: tuple[float, float, float, float], score: float = 0.7) -> Candidates:
    """Faces of which a detector is not sure."""
    return Candidates(np.array(boxes, np.float32), np.full(len(boxes), score, np.float32))


def cloth() -> NDArray[np.uint8]:
    image = cv2.imread(str(MASKS[0]), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return image.astype(np.uint8)


def test_an_unconfirmed_box_is_not_a_face(net: DetectNet) -> None:
    image = cloth()
    height, width = image.shape[:2]
    candidates = claimed(image, (0, 0, width / 2, height / 2), (width / 3, height / 3, width, height))
    view = View(image, 0, 0.0, reduction(1.0))
    assert stand_upright(net, view, candidates, 0.91, 10) == []
    assert len(stand_upright(net, view, candidates, None, 10)) == 2


class BlindDetector:
    """A detector that finds nothing, and records the number and size of the pictures it is shown."""

    input_size = 640

    def __init__(self) -> None:
        self.shown: list[tuple[int, ...]] = []

    def detect(self, images: list[Image]) -> list[Candidates]:
        self.shown += [image.shape for image in images]
        return [Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32)) for _ in images]


def test_the_work_for_a_picture_full_of_doubtful_faces_is_bounded() -> None:
    counting = BlindDetector()
    image = np.zeros((900, 900, 3), np.uint8)
    boxes = [(float(x), float(y), x + 20.0, y + 20.0) for x in range(0, 880, 20) for y in range(0, 880, 20)]
    view = View(image, 0, 0.0, reduction(1.0))
    kept = stand_upright(counting, view, claimed(image, *boxes), 0.91, 12)  # type: ignore[arg-type]
    assert len(counting.shown) == 12 * len(ANGLES)
    assert set(counting.shown) == {(128, 128, 3)}
    assert len(kept) == len(boxes) - 12


def test_a_certainly_upright_face_is_not_checked_again() -> None:
    counting = BlindDetector()
    image = np.zeros((90, 90, 3), np.uint8)
    candidates = claimed(image, (10, 10, 50, 60), score=0.93)
    (face,) = stand_upright(counting, View(image, 0, 0.0, reduction(1.0)), candidates, 0.91, 5)  # type: ignore[arg-type]
    assert counting.shown == []
    np.testing.assert_array_equal(face.candidate.boxes, candidates.boxes)


@pytest.mark.parametrize(("largest", "looked_at"), [(1, 1), (2, 2), (3, 2), (None, 2)])
def test_doubtful_faces_that_are_smaller_than_those_wanted_are_not_looked_at(
    largest: int | None, looked_at: int
) -> None:
    """From the largest to the smallest: doubtful, certain, doubtful, certain. No look confirms any."""
    counting = BlindDetector()
    image = np.zeros((600, 600, 3), np.uint8)
    candidates = claimed(image, *((0, 0, side, side) for side in (400, 300, 200, 100)))
    candidates.scores[[1, 3]] = 0.93
    view = View(image, 0, 0.0, reduction(1.0))
    standing = stand_upright(counting, view, candidates, 0.91, 10, largest=largest)  # type: ignore[arg-type]
    assert len(counting.shown) == looked_at * len(ANGLES)
    np.testing.assert_array_equal(
        np.concatenate([face.candidate.boxes for face in standing]), candidates.boxes[[1, 3]]
    )
