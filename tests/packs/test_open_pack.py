"""The shipped nets on real photos."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.faces.upright import stand_upright
from deployments.faces.views import View, reduction
from deployments.packs.manifest import Screen, read_manifest
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
from tests.support import wide_photos
from tests.support.gallery import WOMEN, make_gallery
from tests.support.photos import (
    ALL,
    ASTRONAUT,
    BIDEN,
    GROUP,
    NO_FACE,
    OBAMA,
    OBAMA_2,
    OBAMA_3,
    OBAMA_CUT,
    SINGLE,
    altered,
)

SOME = (OBAMA, BIDEN, ASTRONAUT)
WIDE = pytest.mark.photos


@dataclass(frozen=True)
class PhotoReading:
    """A photo and the output of the nets for its faces, largest first; no fallbacks, one scale."""

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
def photo(nets: Nets) -> Callable[[Path], PhotoReading]:
    known: dict[Path, PhotoReading] = {}

    def look(path: Path) -> PhotoReading:
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
            known[path] = PhotoReading(image, candidates, landmarks, np.stack(aligned), np.stack(portraits))
        return known[path]

    return look


@pytest.mark.parametrize(
    "path",
    [*SINGLE, *(pytest.param(path, marks=WIDE) for path in wide_photos.CELEBRITIES)],
    ids=lambda path: path.stem,
)
def test_one_face_with_sane_landmarks(photo: Callable[[Path], PhotoReading], path: Path) -> None:
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


@pytest.mark.parametrize("path", [OBAMA_2, OBAMA_3, *OBAMA_CUT], ids=lambda path: path.stem)
def test_another_photo_of_a_person_is_nearest_to_the_first(
    nets: Nets, photo: Callable[[Path], PhotoReading], path: Path
) -> None:
    gallery = nets.embedder.embed(np.concatenate([photo(person).aligned for person in (*SOME, GROUP)]))
    similarity = nets.embedder.embed(photo(path).aligned) @ gallery.T
    assert similarity.shape == (1, len(SOME) + 6)
    assert similarity.argmax() == 0
    assert similarity.max() > nets.pack.threshold


@pytest.mark.parametrize("person", [1, 2], ids=lambda person: SOME[person].stem)
def test_an_altered_photo_is_nearest_to_the_first(
    nets: Nets, photo: Callable[[Path], PhotoReading], tmp_path: Path, person: int
) -> None:
    (tmp_path / "altered.jpg").write_bytes(altered(SOME[person]))
    gallery = nets.embedder.embed(np.concatenate([photo(path).aligned for path in (*SOME, GROUP)]))
    similarity = nets.embedder.embed(photo(tmp_path / "altered.jpg").aligned) @ gallery.T
    assert similarity.argmax() == person
    assert similarity.max() > nets.pack.threshold


@pytest.mark.photos
@pytest.mark.parametrize("path", wide_photos.PROBES, ids=lambda path: path.stem)
def test_every_probe_is_nearest_to_the_person_it_shows(
    nets: Nets, photo: Callable[[Path], PhotoReading], path: Path
) -> None:
    people = wide_photos.CELEBRITIES
    gallery = nets.embedder.embed(np.concatenate([photo(person).aligned for person in people]))
    named = [person.rstrip("-0123456789") for person in path.stem.split("+")]
    similarity = nets.embedder.embed(photo(path).aligned) @ gallery.T
    known = similarity[similarity.max(axis=1) > nets.pack.threshold]
    nearest = [people[index].stem for index in known.argmax(axis=1)]
    assert sorted(nearest) == sorted(named)
    # The smallest margins were .12 to the threshold and .3 to the next person.
    assert known.max(axis=1).min() > nets.pack.threshold + 0.1
    assert np.diff(np.sort(known)[:, -2:]).min() > 0.25


def test_embeddings_are_unit_vectors_of_512(nets: Nets, photo: Callable[[Path], PhotoReading]) -> None:
    vectors = nets.embedder.embed(photo(OBAMA).aligned)
    assert vectors.dtype == np.float32
    assert vectors.shape == (1, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert not vectors[:, 128:].any()


def test_batch_equals_single(nets: Nets, photo: Callable[[Path], PhotoReading]) -> None:
    photos = [photo(path) for path in SOME]
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


def test_more_faces_than_one_batch(nets: Nets, photo: Callable[[Path], PhotoReading]) -> None:
    crop = photo(OBAMA).aligned
    vectors = nets.embedder.embed(np.repeat(crop, 70, axis=0))
    np.testing.assert_allclose(vectors, np.repeat(nets.embedder.embed(crop), 70, axis=0), atol=1e-6)


def test_boxes_and_landmarks_are_pixels_at_any_size(
    nets: Nets, photo: Callable[[Path], PhotoReading]
) -> None:
    """The same photo at half size, and moved by a border, gives the same face, halved and moved."""
    found = photo(OBAMA)
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
    nets: Nets, photo: Callable[[Path], PhotoReading]
) -> None:
    found = photo(GROUP).candidates
    assert len(found.boxes) == 6
    assert np.all(np.diff(found.scores) <= 0)
    assert np.triu(iou_matrix(found.boxes, found.boxes), k=1).max() == 0


def test_no_face_and_no_image(nets: Nets) -> None:
    image = read(NO_FACE)
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
    image = read(ASTRONAUT)
    candidates = Candidates(np.array([box], np.float32), np.ones(1, np.float32))
    landmarks, _ = nets.landmarks.locate(image, candidates)
    assert np.isfinite(landmarks).all()


def test_gender_and_age_of_the_gallery(
    nets: Nets, photo: Callable[[Path], PhotoReading], tmp_path: Path
) -> None:
    gallery = make_gallery(tmp_path)
    entries = json.loads((gallery / "metadata.json").read_text())["celebrities"]
    files = [gallery / entry["category"] / entry["filename"] for entry in entries]
    check_ages_and_genders(nets, photo, files, [entry["name"] in WOMEN for entry in entries])


@pytest.mark.photos
def test_gender_and_age_of_the_wide_gallery(nets: Nets, photo: Callable[[Path], PhotoReading]) -> None:
    people = wide_photos.CELEBRITIES
    check_ages_and_genders(nets, photo, people, [path.stem in wide_photos.WOMEN for path in people])


def check_ages_and_genders(
    nets: Nets, photo: Callable[[Path], PhotoReading], files: Sequence[Path], women: list[bool]
) -> None:
    ages, male = nets.age_gender.predict(np.concatenate([photo(path).portraits for path in files]))
    assert ages.dtype == male.dtype == np.float32
    assert np.all((ages > 15) & (ages < 80))
    assert [bool(p < 0.5) for p in male] == women


@pytest.mark.parametrize(
    ("path", "emotion"),
    [
        (OBAMA, "happy"),
        (ASTRONAUT, "happy"),
        pytest.param(wide_photos.hard("emotion-happy.png"), "happy", marks=WIDE),
        pytest.param(wide_photos.hard("emotion-anger.png"), "angry", marks=WIDE),
    ],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_posed_emotions(nets: Nets, photo: Callable[[Path], PhotoReading], path: Path, emotion: str) -> None:
    probabilities = nets.expression.predict(photo(path).portraits)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert EMOTIONS[int(probabilities[0].argmax())] == emotion


def test_nothing_in_nothing_out(nets: Nets) -> None:
    portraits = np.empty((0, 112, 112, 3), np.uint8)
    assert nets.embedder.embed(np.empty((0, 112, 112, 3), np.uint8)).shape == (0, 512)
    assert nets.expression.predict(portraits).shape == (0, 7)
    assert [part.shape for part in nets.age_gender.predict(portraits)] == [(0,), (0,)]


def decoded(files: Sequence[Path]) -> list[Image]:
    return [decode(data, header(data))[0] for data in (path.read_bytes() for path in files)]


def header(data: bytes) -> ImageHeader:
    return read_header(data, max_bytes=10**8, max_pixels=10**9)


@pytest.mark.parametrize(
    ("photos", "faces"),
    [
        pytest.param(ALL, 13, id="packaged"),
        pytest.param(wide_photos.ALL, 71, id="wide", marks=WIDE),
    ],
)
def test_the_trimmed_detector_finds_what_the_whole_net_finds(photos: Sequence[Path], faces: int) -> None:
    role = read_manifest(OPEN_FOLDER).roles.detect
    assert role.trim is not None
    whole = SsdDetector(OPEN_FOLDER, role.model_copy(update={"trim": None}), Settings())
    shipped = SsdDetector(OPEN_FOLDER, role, Settings())
    total = 0
    for image in decoded(photos):
        (expected,), (found,) = whole.detect([image]), shipped.detect([image])
        assert len(found.boxes) == len(expected.boxes)
        if len(expected.boxes):
            overlap = iou_matrix(expected.boxes, found.boxes)
            assert overlap.max(axis=1).min() >= 0.8
            assert len(set(overlap.argmax(axis=1))) == len(expected.boxes)
        total += len(expected.boxes)
    assert total >= faces


def test_a_screen_that_is_unsure_leaves_the_decision_to_the_net() -> None:
    role = read_manifest(OPEN_FOLDER).roles.detect
    plain = SsdDetector(OPEN_FOLDER, role, Settings())
    always_unsure = Screen(file=role.file, unsure=(0.01, 0.99))
    screened = SsdDetector(OPEN_FOLDER, role.model_copy(update={"screen": always_unsure}), Settings())
    images = decoded([OBAMA, NO_FACE, GROUP])
    for found, expected in zip(screened.detect(images), plain.detect(images), strict=True):
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        assert found.keypoints is not None and expected.keypoints is not None
        np.testing.assert_array_equal(found.keypoints, expected.keypoints)


def test_images_of_several_shapes_in_one_call_give_what_each_gives_alone() -> None:
    detector = SsdDetector(OPEN_FOLDER, read_manifest(OPEN_FOLDER).roles.detect, Settings())
    images = decoded(ALL[:6])
    for together, image in zip(detector.detect(images), images, strict=True):
        (alone,) = detector.detect([image])
        np.testing.assert_array_equal(together.boxes, alone.boxes)
        np.testing.assert_array_equal(together.scores, alone.scores)
    assert detector.detect([]) == []


def test_the_size_of_crops_is_bounded_for_any_box() -> None:
    """A photo made for it could drive the net to exp(30). None is available, so its output is replaced."""
    detector = SsdDetector(OPEN_FOLDER, read_manifest(OPEN_FOLDER).roles.detect, Settings())
    boxes = np.array([[(-1e13, -np.inf, 1e13, np.inf), (0.5, 0.5, 0.5, 0.5)]], np.float32)
    scores = np.full((1, 2), 0.6, np.float32)
    plain = load_pack(Settings()).detector()
    detector._run = lambda canvases: [boxes, scores]  # type: ignore[method-assign]
    side = detector.input_size
    image = np.zeros((side, side, 3), np.uint8)
    (candidates,) = detector.detect([image])
    assert candidates.boxes.tolist() == [[-side, -side, 2 * side, 2 * side], [side / 2] * 4]
    assert stand_upright(plain, View(image, 0, 0.0, reduction(1.0)), candidates, 0.91, 5) == []
