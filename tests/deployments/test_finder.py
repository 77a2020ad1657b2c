"""The work that a picture can cause is bounded, and the way pixels arrive does not change the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from PIL import Image as PillowImage

from deployments.faces.decoder import DecoderProcess
from deployments.faces.finder import VIEW_ANGLES, VIEW_PADDINGS, FaceFinder
from deployments.packs.manifest import SMALL_FACE
from deployments.packs.nets import Candidates, DetectNet
from deployments.packs.registry import load_pack
from semblance.settings import Settings
from semblance.types import DetectedFace, Detection, Image
from tests.support.photos import GROUP, HANKS, encoded
from tests.support.waiting import PATIENCE_S

SETTINGS = Settings(image_deadline_s=PATIENCE_S)


class CountingDetector:
    """A detector that records how many pixels it is shown."""

    def __init__(self, net: DetectNet) -> None:
        self._net = net
        self.input_size = net.input_size
        self.shown: list[int] = []

    def detect(self, images: Sequence[Image]) -> list[Candidates]:
        self.shown += [image.shape[0] * image.shape[1] for image in images]
        return self._net.detect(images)


@pytest.fixture(scope="module")
def guarded() -> Iterator[FaceFinder]:
    decoder = DecoderProcess(SETTINGS)
    yield FaceFinder(load_pack(SETTINGS), SETTINGS, decoder)
    decoder.close()


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(load_pack(SETTINGS), SETTINGS)


@pytest.fixture(scope="module")
def group() -> PillowImage.Image:
    """Six people, 1280 x 886."""
    with PillowImage.open(GROUP) as photo:
        return photo.convert("RGB")


WITHOUT_A_FACE = {
    "1 x 20": ((1, 20), "PNG"),
    "a strip": ((16_380, 820), "WEBP"),
    "upright strip": ((600, 12_000), "BMP"),
    "50 megapixels of one colour": ((7_071, 7_071), "PNG"),
    "12 megapixels, JPEG": ((4_032, 3_024), "JPEG"),
    "12 megapixels, BMP": ((4_032, 3_024), "BMP"),
    "12 megapixels, GIF": ((4_032, 3_024), "GIF"),
}


@pytest.mark.parametrize("name", WITHOUT_A_FACE)
def test_every_search_uses_a_reduced_picture(name: str) -> None:
    size, file_format = WITHOUT_A_FACE[name]
    options = {"lossless": True, "quality": 0} if file_format == "WEBP" else {}
    data = encoded(PillowImage.new("P" if file_format == "GIF" else "RGB", size), file_format, **options)
    roomy = Settings(max_image_bytes=64 * 2**20)
    finder = FaceFinder(load_pack(roomy), roomy)
    finder.net = counting = CountingDetector(finder.net)
    detection = finder.detect(data)
    assert (detection.width, detection.height, detection.found) == (*size, 0)
    assert len(counting.shown) <= len(VIEW_ANGLES) * len(VIEW_PADDINGS)
    # A picture of twice the canvas, turned by 40 degrees, with a border of 15 % on every side.
    assert max(counting.shown) <= (2 * finder.net.input_size * 1.75) ** 2


def assert_same_faces(found: Detection, expected: Detection, scale: float, tolerance: float) -> None:
    assert found.found == expected.found == 6
    boxes, others = (
        sorted((face.bbox.x1, face.bbox.y1, face.bbox.x2, face.bbox.y2) for face in detection.faces)
        for detection in (found, expected)
    )
    np.testing.assert_allclose(np.array(boxes) / scale, others, atol=tolerance)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "TIFF"])
def test_the_same_faces_in_every_format(
    finder: FaceFinder, guarded: FaceFinder, group: PillowImage.Image, file_format: str
) -> None:
    expected = finder.detect(encoded(group, "PNG"))
    data = encoded(group, file_format, quality=95)
    direct, beside = finder.detect(data), guarded.detect(data)
    assert [face.bbox for face in direct.faces] == [face.bbox for face in beside.faces]
    assert expected.found == direct.found == 6
    for face in expected.faces:
        x, y = face.bbox.x1, face.bbox.y1
        np.testing.assert_allclose(at(direct, x, y).landmarks, face.landmarks, atol=6)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_crops_of_a_large_picture_are_as_sharp_as_its_pixels(
    finder: FaceFinder, group: PillowImage.Image, file_format: str
) -> None:
    """A group in a wide scene is found in the reduced picture and cut from the full one."""
    scene = PillowImage.new("RGB", (3_000, 2_500), (90, 100, 110))
    scene.paste(group, (1_111, 999))
    options = {"quality": 95} if file_format == "JPEG" else {}
    wide, close = finder.detect(encoded(scene, file_format, **options)), finder.detect(encoded(group, "PNG"))
    assert wide.found == close.found == 6
    for face in close.faces:
        again = at(wide, face.bbox.x1 + 1_111, face.bbox.y1 + 999)
        np.testing.assert_allclose(
            again.landmarks, face.landmarks + np.array([1_111, 999]), atol=0.15 * face.bbox.width
        )
        assert sharpness(again.crops.aligned) > 0.6 * sharpness(face.crops.aligned)


@pytest.mark.parametrize("angle", [90, -90, 180])
def test_a_turned_photo_without_exif_is_cut_upright(finder: FaceFinder, angle: int) -> None:
    """This holds even if the crops come from a finer part of the picture than the view that showed it."""
    with PillowImage.open(HANKS) as photo:
        head = photo.convert("RGB").resize((600, 600))
    scene = PillowImage.new("RGB", (2_200, 2_200), (90, 100, 110))
    scene.paste(head, (800, 800))
    (upright,) = finder.detect(encoded(scene, "PNG")).faces
    turned = scene.rotate(angle)
    (again,) = finder.detect(encoded(turned, "PNG")).faces
    assert np.abs(again.crops.aligned.astype(int) - upright.crops.aligned).mean() < 30
    assert sharpness(again.crops.aligned) > 0.6 * sharpness(upright.crops.aligned)


def at(detection: Detection, x: float, y: float) -> DetectedFace:
    """The face whose box begins nearest to x and y."""
    return min(detection.faces, key=lambda face: abs(face.bbox.x1 - x) + abs(face.bbox.y1 - y))


def sharpness(crop: Image) -> float:
    return float(np.abs(np.diff(crop.astype(int), axis=0)).mean())


@pytest.mark.parametrize(("small_face", "tiles"), [(None, 0), (SMALL_FACE, 4)])
def test_a_pack_states_which_faces_are_small_for_it(
    group: PillowImage.Image, small_face: float | None, tiles: int
) -> None:
    """The faces of the group are 47 to 59 pixels of the canvas wide: enough for the open pack, but not for
    packs that do not say what is enough for them."""
    pack = load_pack(SETTINGS)
    if small_face is not None:
        pack.small_face = small_face
    finder = FaceFinder(pack, SETTINGS)
    finder.net = counting = CountingDetector(finder.net)
    assert finder.detect(encoded(group, "PNG")).found == 6
    assert sum(pixels > 300_000 for pixels in counting.shown) == tiles


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_a_turned_group_is_found_completely(finder: FaceFinder, group: PillowImage.Image, angle: int) -> None:
    """Upside down, the detector sees one of the six. In the end each face is found once."""
    faces = finder.detect(encoded(group.rotate(angle, expand=True), "PNG")).faces
    assert len(faces) == 6
    centres = np.array([(box.x1 + box.x2, box.y1 + box.y2) for box in (face.bbox for face in faces)]) / 2
    distances = np.linalg.norm(centres[:, None] - centres, axis=2) + 1e9 * np.eye(6)
    assert distances.min() > max(face.bbox.width for face in faces)
