"""Detector, embedder and analyzer together, without Serve, on real photos."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.faces.pipeline import LocalPipeline
from deployments.vision.decode import decode, read_header
from semblance.errors import ImageTooLargeError, SemblanceError, UnreadableImageError
from semblance.settings import Settings
from semblance.types import Embedding, Image
from tests.support.photos import ASTRONAUT, BIDEN, GROUP, OBAMA, OBAMA_2, OBAMA_3, SINGLE
from tests.support.wide_photos import hard


@pytest.fixture(scope="module")
def pipeline() -> LocalPipeline:
    return LocalPipeline(Settings())


def pixels(photo: Path) -> Image:
    data = photo.read_bytes()
    image, _ = decode(data, read_header(data, max_bytes=10**8, max_pixels=10**9))
    return image


def head() -> Image:
    """Head and shoulders, 480 x 600."""
    return np.ascontiguousarray(pixels(OBAMA_2)[150:750, 100:580])


def encoded(image: Image, suffix: str = ".bmp") -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()


@pytest.fixture(scope="module")
def upright(pipeline: LocalPipeline) -> Callable[[Path], tuple[PillowImage.Image, Embedding]]:
    """A photo of at most 1000 x 1000 pixels and the embedding of its face, found once for all tests."""

    @cache
    def described(photo: Path) -> tuple[PillowImage.Image, Embedding]:
        image = PillowImage.fromarray(pixels(photo))
        image.thumbnail((1000, 1000))
        return image, pipeline.analyze_photo(encoded(np.asarray(image)), 1)[1][0].embedding

    return described


def cosine(pipeline: LocalPipeline, a: bytes, b: bytes) -> float:
    (_, first), (_, second) = pipeline.analyze_photo(a, 1), pipeline.analyze_photo(b, 1)
    return float(first[0].embedding @ second[0].embedding)


@pytest.mark.parametrize("angle", [-40, 40, 90, 180, 270])
@pytest.mark.parametrize(
    "photo",
    [OBAMA, BIDEN, ASTRONAUT, pytest.param(hard("rotate-rot-0.jpg"), marks=pytest.mark.photos)],
    ids=lambda path: path.stem,
)
def test_a_turned_photo_shows_the_same_face(
    pipeline: LocalPipeline,
    upright: Callable[[Path], tuple[PillowImage.Image, Embedding]],
    photo: Path,
    angle: int,
) -> None:
    image, embedding = upright(photo)
    turned = encoded(np.asarray(image.rotate(angle, expand=True)))
    (face,) = pipeline.analyze_photo(turned, 1)[1]
    assert float(face.embedding @ embedding) > 0.8


def test_landmarks_of_a_turned_photo_are_in_its_own_pixels(pipeline: LocalPipeline) -> None:
    image = pixels(OBAMA)
    height, width = image.shape[:2]
    _, (straight,) = pipeline.analyze_photo(encoded(image))
    _, (turned,) = pipeline.analyze_photo(encoded(np.ascontiguousarray(np.rot90(image))))
    expected = np.stack(
        [straight.detected.landmarks[:, 1], width - 1 - straight.detected.landmarks[:, 0]], axis=1
    )
    assert height != width
    np.testing.assert_allclose(turned.detected.landmarks, expected, atol=0.02 * width)


def test_a_tight_crop_of_a_face_is_found(pipeline: LocalPipeline) -> None:
    image = pixels(OBAMA_3)
    _, (face,) = pipeline.analyze_photo(OBAMA_3.read_bytes(), 1)
    box = face.detected.bbox
    tight = image[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
    assert cosine(pipeline, encoded(np.ascontiguousarray(tight)), OBAMA_3.read_bytes()) > 0.7


def test_a_picture_without_a_face_has_none(pipeline: LocalPipeline) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    for image in (noise, np.zeros_like(noise), np.full((1, 1, 3), 255, np.uint8)):
        detection, faces = pipeline.analyze_photo(encoded(image))
        assert (detection.height, detection.width) == image.shape[:2]
        assert faces == []


def test_small_faces_of_a_large_photo_are_found_at_a_second_scale(pipeline: LocalPipeline) -> None:
    face = cv2.resize(head(), (80, 100), interpolation=cv2.INTER_AREA)
    wall = np.full((1500, 2000, 3), 127, np.uint8)
    for x in range(100, 1900, 300):
        for y in range(100, 1400, 300):
            wall[y : y + 100, x : x + 80] = face
    wall[600:1100, 850:1250] = cv2.resize(head(), (400, 500))
    detection, _ = pipeline.analyze_photo(encoded(wall))
    small = [found for found in detection.faces if found.bbox.width < 60]
    assert len(detection.faces) > 1, "only the large face was found"
    assert len(small) >= 10


def test_faces_are_largest_first_and_limited(pipeline: LocalPipeline) -> None:
    data = GROUP.read_bytes()
    detection, faces = pipeline.analyze_photo(data)
    areas = [face.bbox.area for face in detection.faces]
    assert len(areas) > 5 and areas == sorted(areas, reverse=True)
    limited, described = pipeline.analyze_photo(data, 2)
    assert [face.bbox for face in limited.faces] == [face.bbox for face in detection.faces[:2]]
    assert len(described) == 2 and len(faces) == len(areas)


def test_a_large_jpeg_gives_crops_as_sharp_as_its_full_size(pipeline: LocalPipeline) -> None:
    """A photo of several megapixels is decoded at reduced size. A small face in it must stay sharp."""
    face = cv2.resize(head(), (260, 322), interpolation=cv2.INTER_AREA)
    scene = np.full((2400, 3200, 3), 90, np.uint8)
    scene[1000:1322, 1400:1660] = face
    _, (jpeg,) = pipeline.analyze_photo(encoded(scene, ".jpg"), 1)
    _, (lossless,) = pipeline.analyze_photo(encoded(scene), 1)
    assert float(jpeg.embedding @ lossless.embedding) > 0.97
    np.testing.assert_allclose(jpeg.detected.landmarks, lossless.detected.landmarks, atol=4)


def test_many_pictures_at_once_give_what_each_gives_alone(pipeline: LocalPipeline) -> None:
    photos = [path.read_bytes() for path in (*SINGLE, GROUP)]
    together = pipeline.analyze_photos([*photos, b"not a picture"], 3)
    assert isinstance(together[-1], UnreadableImageError)
    for data, result in zip(photos, together, strict=False):
        assert not isinstance(result, SemblanceError)
        _, alone = pipeline.analyze_photo(data, 3)
        for one, other in zip(result[1], alone, strict=True):
            np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-5)
            assert one.attributes.gender == other.attributes.gender
            assert one.attributes.age == pytest.approx(other.attributes.age, abs=1e-2)


def test_limits_hold_before_decoding(pipeline: LocalPipeline) -> None:
    strict = LocalPipeline(Settings(max_image_pixels=100, max_image_bytes=5000))
    buffer = io.BytesIO()
    PillowImage.new("RGB", (20, 20)).save(buffer, "PNG")
    with pytest.raises(ImageTooLargeError):
        strict.analyze_photo(buffer.getvalue())
    with pytest.raises(ImageTooLargeError):
        strict.analyze_photo(b"\xff\xd8" + b"\0" * 5000)
