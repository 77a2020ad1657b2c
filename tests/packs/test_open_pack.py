"""The shipped nets on real photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.packs.manifest import read_manifest
from deployments.packs.nets import (
    AgeGenderNet,
    Candidates,
    DetectNet,
    EmbedNet,
    ExpressionNet,
    LandmarkNet,
    ModelPack,
)
from deployments.packs.open_pack import SsdDetector
from deployments.packs.pack import OPEN_FOLDER
from deployments.packs.registry import load_pack
from deployments.vision.align import five_points, landmark_box, similarity_transform, square_crop, warp
from deployments.vision.decode import ImageHeader, decode, read_header
from deployments.vision.nms import iou_matrix
from semblance.settings import Settings
from semblance.types import EMOTIONS, Image
from tests.support.photos import faces_dir

CELEBRITIES = sorted(path for path in (faces_dir() / "celebrities").glob("*/*"))
PROBES = sorted((faces_dir() / "probes").iterdir())
STATED = {
    entry["filename"]: entry["gender"]
    for entry in json.loads((faces_dir() / "celebrities" / "metadata.json").read_text())["celebrities"]
}


@dataclass(frozen=True)
class Photo:
    """A photo and what the nets say of its faces, largest first; no fallbacks, one scale."""

    image: Image
    candidates: Candidates
    landmarks: NDArray[np.float32]
    aligned: NDArray[np.uint8]
    portraits: NDArray[np.uint8]


@dataclass(frozen=True)
class Nets:
    pack: ModelPack
    detector: DetectNet
    landmarks: LandmarkNet
    embedder: EmbedNet
    age_gender: AgeGenderNet
    expression: ExpressionNet


@pytest.fixture(scope="module")
def nets() -> Nets:
    pack = load_pack(Settings(execution_provider="cpu"))
    return Nets(
        pack, pack.detector(), pack.landmarks(), pack.embedder(), pack.age_gender(), pack.expression()
    )


def read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert image is not None
    return image.astype(np.uint8)


@pytest.fixture(scope="module")
def photo(nets: Nets) -> Callable[[Path], Photo]:
    known: dict[Path, Photo] = {}

    def look(path: Path) -> Photo:
        if path not in known:
            image = read(path)
            candidates = nets.detector.detect([image])[0]
            landmarks, poses = nets.landmarks.locate(image, candidates)
            assert poses is None
            target, size = nets.pack.alignment.target, nets.pack.alignment.size
            aligned = [
                warp(image, similarity_transform(five_points(face), target), size) for face in landmarks
            ]
            portraits = [square_crop(image, landmark_box(face), 112)[0] for face in landmarks]
            known[path] = Photo(image, candidates, landmarks, np.stack(aligned), np.stack(portraits))
        return known[path]

    return look


@pytest.mark.parametrize("path", CELEBRITIES, ids=lambda path: path.stem)
def test_one_face_with_sane_landmarks(photo: Callable[[Path], Photo], path: Path) -> None:
    found = photo(path)
    assert found.candidates.boxes.shape == (1, 4)
    assert found.candidates.scores[0] >= 0.5
    x1, y1, x2, y2 = found.candidates.boxes[0]
    points = found.landmarks[0]
    eye, other_eye = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    nose, mouth, chin = points[30], points[48:68].mean(axis=0), points[8]
    assert eye[0] < nose[0] < other_eye[0]
    assert max(eye[1], other_eye[1]) < nose[1] < mouth[1] < chin[1]
    between = np.linalg.norm(other_eye - eye)
    assert 0.2 < between / (x2 - x1) < 0.6
    inside = (points - [x1, y1]) / [x2 - x1, y2 - y1]
    assert np.all((inside > -0.15) & (inside < 1.15))


@pytest.mark.parametrize("path", PROBES, ids=lambda path: path.stem)
def test_every_probe_is_nearest_to_whom_it_names(
    nets: Nets, photo: Callable[[Path], Photo], path: Path
) -> None:
    gallery = nets.embedder.embed(np.concatenate([photo(person).aligned for person in CELEBRITIES]))
    named = [person.rstrip("-0123456789") for person in path.stem.split("+")]
    similarity = nets.embedder.embed(photo(path).aligned) @ gallery.T
    nearest = [CELEBRITIES[index].stem for index in similarity.argmax(axis=1)]
    assert sorted(nearest) == sorted(named)
    assert np.all(similarity.max(axis=1) > nets.pack.threshold)


def test_embeddings_are_unit_vectors_of_512(nets: Nets, photo: Callable[[Path], Photo]) -> None:
    vectors = nets.embedder.embed(photo(CELEBRITIES[0]).aligned)
    assert vectors.dtype == np.float32
    assert vectors.shape == (1, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert not vectors[:, 128:].any()


def test_batch_equals_single(nets: Nets, photo: Callable[[Path], Photo]) -> None:
    photos = [photo(path) for path in CELEBRITIES[:3]]
    aligned = np.concatenate([found.aligned for found in photos])
    portraits = np.concatenate([found.portraits for found in photos])
    for batched, single in (
        (nets.embedder.embed(aligned), [nets.embedder.embed(crop[None]) for crop in aligned]),
        (nets.expression.predict(portraits), [nets.expression.predict(crop[None]) for crop in portraits]),
        (nets.age_gender.predict(portraits)[0], [nets.age_gender.predict(c[None])[0] for c in portraits]),
    ):
        np.testing.assert_allclose(batched, np.concatenate(single), rtol=1e-5, atol=1e-6)
    together = nets.detector.detect([found.image for found in photos])
    for found, batch in zip(photos, together, strict=True):
        np.testing.assert_allclose(batch.boxes, found.candidates.boxes, atol=1e-2)
        np.testing.assert_allclose(batch.scores, found.candidates.scores, atol=1e-5)


def test_more_faces_than_one_batch(nets: Nets, photo: Callable[[Path], Photo]) -> None:
    crop = photo(CELEBRITIES[0]).aligned
    vectors = nets.embedder.embed(np.repeat(crop, 70, axis=0))
    np.testing.assert_allclose(vectors, np.repeat(nets.embedder.embed(crop), 70, axis=0), atol=1e-6)


def test_boxes_and_landmarks_are_pixels_at_any_size(nets: Nets, photo: Callable[[Path], Photo]) -> None:
    """The same photo at half size, and moved by a border, gives the same face, halved and moved."""
    found = photo(CELEBRITIES[0])
    half = cv2.resize(found.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
    moved = cv2.copyMakeBorder(found.image, 60, 0, 90, 0, cv2.BORDER_CONSTANT).astype(np.uint8)
    for image, scale, offset in ((half, 0.5, (0, 0)), (moved, 1.0, (90, 60))):
        candidates = nets.detector.detect([image])[0]
        landmarks, _ = nets.landmarks.locate(image, candidates)
        box = found.candidates.boxes * scale + np.tile(offset, 2)
        assert iou_matrix(candidates.boxes, box.astype(np.float32)).item() > 0.8
        apart = np.linalg.norm(landmarks - (found.landmarks * scale + offset), axis=2)
        assert apart.mean() < 0.05 * (box[0, 2] - box[0, 0])


def test_overlapping_boxes_are_one_face_and_order_is_by_score(
    nets: Nets, photo: Callable[[Path], Photo]
) -> None:
    two = photo(faces_dir() / "probes" / "barack-obama+joe-biden.jpg").candidates
    assert len(two.boxes) == 2
    assert two.scores[0] >= two.scores[1]
    assert two.boxes[0, 2] < two.boxes[1, 0] or two.boxes[1, 2] < two.boxes[0, 0]


def test_no_face_and_no_image(nets: Nets) -> None:
    image = read(faces_dir() / "hard" / "no-face.png")
    found = nets.detector.detect([image])[0]
    assert (found.boxes.shape, found.scores.shape) == ((0, 4), (0,))
    landmarks, _ = nets.landmarks.locate(image, found)
    assert landmarks.shape == (0, 68, 2)
    assert nets.detector.detect([]) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2000, 3), (3000, 2, 3), (513, 511, 3)])
def test_images_of_odd_sizes(nets: Nets, shape: tuple[int, int, int]) -> None:
    assert len(nets.detector.detect([np.full(shape, 127, np.uint8)])[0].boxes) == 0


@pytest.mark.parametrize(
    "box", [(-40, -30, 60, 80), (150, 200, 400, 300), (-10, -10, 900, 900), (249.2, 249.4, 249.6, 249.8)]
)
def test_boxes_that_leave_the_image(nets: Nets, box: tuple[float, ...]) -> None:
    image = read(faces_dir() / "celebrities" / "actors" / "rob-lowe.jpg")
    candidates = Candidates(np.array([box], np.float32), np.ones(1, np.float32))
    landmarks, _ = nets.landmarks.locate(image, candidates)
    assert np.isfinite(landmarks).all()


def test_gender_and_age_of_the_gallery(nets: Nets, photo: Callable[[Path], Photo]) -> None:
    ages, male = nets.age_gender.predict(np.concatenate([photo(path).portraits for path in CELEBRITIES]))
    assert ages.dtype == male.dtype == np.float32
    assert np.all((ages > 18) & (ages < 80))
    assert ["male" if p >= 0.5 else "female" for p in male] == [STATED[path.name] for path in CELEBRITIES]


@pytest.mark.parametrize(("file", "emotion"), [("happy", "happy"), ("anger", "angry")])
def test_posed_emotions(nets: Nets, photo: Callable[[Path], Photo], file: str, emotion: str) -> None:
    probabilities = nets.expression.predict(photo(faces_dir() / "hard" / f"emotion-{file}.png").portraits)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert EMOTIONS[int(probabilities[0].argmax())] == emotion


def test_nothing_in_nothing_out(nets: Nets) -> None:
    portraits = np.empty((0, 112, 112, 3), np.uint8)
    assert nets.embedder.embed(np.empty((0, 150, 150, 3), np.uint8)).shape == (0, 512)
    assert nets.expression.predict(portraits).shape == (0, 7)
    assert [part.shape for part in nets.age_gender.predict(portraits)] == [(0,), (0,)]


def all_photos() -> list[Image]:
    files = sorted(path for path in faces_dir().rglob("*.*g") if path.suffix in {".jpg", ".jpeg", ".png"})
    return [decode(data, header(data))[0] for data in (path.read_bytes() for path in files)]


def header(data: bytes) -> ImageHeader:
    return read_header(data, max_bytes=10**8, max_pixels=10**9)


def test_trimmed_and_screened_detector_finds_what_the_whole_net_finds() -> None:
    role = read_manifest(OPEN_FOLDER).roles.detect
    assert role.trim is not None and role.screen is not None
    whole = SsdDetector(OPEN_FOLDER, role.model_copy(update={"trim": None, "screen": None}), Settings())
    shipped = SsdDetector(OPEN_FOLDER, role, Settings())
    total = 0
    for image in all_photos():
        (expected,), (found,) = whole.detect([image]), shipped.detect([image])
        assert len(found.boxes) == len(expected.boxes)
        if len(expected.boxes):
            overlap = iou_matrix(expected.boxes, found.boxes)
            assert overlap.max(axis=1).min() >= 0.8
            assert len(set(overlap.argmax(axis=1))) == len(expected.boxes)
        total += len(expected.boxes)
    assert total > 70


def test_images_of_several_shapes_in_one_call_give_what_each_gives_alone() -> None:
    detector = SsdDetector(OPEN_FOLDER, read_manifest(OPEN_FOLDER).roles.detect, Settings())
    images = all_photos()[:6]
    for together, image in zip(detector.detect(images), images, strict=True):
        (alone,) = detector.detect([image])
        np.testing.assert_array_equal(together.boxes, alone.boxes)
        np.testing.assert_array_equal(together.scores, alone.scores)
    assert detector.detect([]) == []
