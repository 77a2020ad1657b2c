from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.packs.insightface_pack import InsightFacePack, derive_manifest
from deployments.packs.manifest import MANIFEST_FILE, Normalisation
from deployments.packs.nets import Candidates, ModelPack
from deployments.packs.registry import describe_pack, list_packs, load_pack
from deployments.vision.align import similarity_transform, warp
from semblance.errors import PackError
from semblance.settings import Settings
from semblance.types import Image, Pose
from tests.support import synthetic_pack as synthetic


@pytest.fixture
def agreed(settings: Settings) -> Settings:
    return settings.model_copy(update={"pack": "tiny", "accept_noncommercial": True})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return synthetic.pack(tmp_path / "packs" / "tiny")


@pytest.fixture
def pack(folder: Path, agreed: Settings) -> ModelPack:
    return load_pack(agreed)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


def bgr(image: Image) -> Image:
    return np.ascontiguousarray(image[..., ::-1])


def test_routing_and_manifest_of_a_plain_folder(folder: Path) -> None:
    manifest = derive_manifest(folder)
    roles = dict(manifest.roles.present())
    assert {name: role.file for name, role in roles.items()} == {
        "detect": "det_tiny.onnx",
        "embed": "w_arc.onnx",
        "landmarks": "1k3d68.onnx",
        "age_gender": "genderage.onnx",
    }
    from insightface.model_zoo.model_zoo import ModelRouter

    for role in roles.values():
        router = ModelRouter(str(folder / role.file)).get_model(providers=["CPUExecutionProvider"])
        assert role.normalisation == Normalisation(mean=router.input_mean, std=router.input_std)
        assert role.outputs == tuple(router.output_names)
        assert (role.input_size, role.input_size) == tuple(router.input_size)
        assert manifest.sha256[role.file] == hashlib.sha256((folder / role.file).read_bytes()).hexdigest()
    assert not manifest.licence.commercial_use


def test_digest_follows_the_weights(folder: Path) -> None:
    before = derive_manifest(folder).digest
    assert derive_manifest(folder).digest == before
    synthetic.linear_net(folder / "w_arc.onnx", 112, np.ones(512))
    assert derive_manifest(folder).digest != before


def test_needs_consent_and_borrows_expression(folder: Path, agreed: Settings) -> None:
    with pytest.raises(PackError, match="SEMBLANCE_ACCEPT_NONCOMMERCIAL=1"):
        load_pack(agreed.model_copy(update={"accept_noncommercial": False}))
    assert describe_pack(agreed).borrowed == ("expression",)
    assert isinstance(load_pack(agreed), InsightFacePack)
    assert {entry.name for entry in list_packs(agreed)} == {"tiny", "open"}


@pytest.mark.parametrize("absent", ["det_tiny.onnx", "?_arc.onnx"])
def test_folder_without_a_mandatory_net_is_refused(folder: Path, absent: str) -> None:
    for path in folder.glob(absent):
        path.unlink()
    with pytest.raises(PackError, match="needs an SCRFD detector and an ArcFace net"):
        derive_manifest(folder)


def test_unreadable_net_is_named(folder: Path) -> None:
    (folder / "genderage.onnx").write_bytes(b"not an onnx file")
    with pytest.raises(PackError, match=r"genderage.onnx is not a readable ONNX file"):
        derive_manifest(folder)


def test_public_pack_must_hold_the_published_files(tmp_path: Path) -> None:
    folder = synthetic.pack(tmp_path / "buffalo_l")
    (folder / "det_tiny.onnx").rename(folder / "det_10g.onnx")
    with pytest.raises(PackError, match=r"det_10g.onnx is damaged .* expected 5838f7fe"):
        derive_manifest(folder)


@pytest.mark.parametrize(("side", "factor"), [("?", 1), ("?", 2), (640, 1)])
def test_scrfd_finds_the_planted_face(folder: Path, agreed: Settings, side: str | int, factor: int) -> None:
    """A red cell at column 30, row 40 of the 640 canvas; the photo is `factor` times the canvas."""
    synthetic.scrfd(folder / "det_tiny.onnx", side)
    net = load_pack(agreed).detector()
    cell = 8 * factor
    photo = np.zeros((480 * factor, 640 * factor, 3), np.uint8)
    photo[40 * cell : 41 * cell, 30 * cell : 31 * cell] = (255, 0, 0)
    empty, found = net.detect([np.zeros_like(photo), photo])
    assert net.input_size == 640
    assert (len(empty.boxes), len(found.boxes)) == (0, 1)
    corner = np.array([30, 40])
    left, top, right, bottom = synthetic.FACE_BOX
    expected = np.array([*np.subtract(corner, (left, top)), *np.add(corner, (right, bottom))]) * cell
    np.testing.assert_allclose(found.boxes[0], expected, atol=0.5)
    points = corner + np.array(synthetic.FACE_KEYPOINTS).reshape(5, 2)
    assert found.keypoints is not None
    np.testing.assert_allclose(found.keypoints[0], points * cell, atol=0.5)
    np.testing.assert_allclose(found.scores, 255 / 256, atol=1e-3)


def test_embeddings_equal_insightface(pack: ModelPack, folder: Path) -> None:
    """Same alignment, same normalisation, same vectors; and batch equals single."""
    from insightface.app.common import Face
    from insightface.model_zoo import ArcFaceONNX

    photo = noise(300, 400, 3)
    keypoints = np.array([[150, 120], [230, 125], [192, 170], [160, 215], [222, 212]], np.float32)
    reference = ArcFaceONNX(str(folder / "w_arc.onnx"))
    with pytest.warns(FutureWarning, match="estimate"):  # insightface's alignment calls it
        expected = reference.get(bgr(photo), Face(kps=keypoints))
    aligned = warp(photo, similarity_transform(keypoints, pack.alignment.target), pack.alignment.size)
    crops = np.stack([aligned, *noise(4, 112, 112, 3)])
    vectors = pack.embedder().embed(crops)
    assert vectors.shape == (5, 512)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert vectors[0] @ (expected / np.linalg.norm(expected)) > 0.9999
    alone = reference.get_feat([bgr(crop) for crop in crops[1:]])
    np.testing.assert_allclose(vectors[1:], alone / np.linalg.norm(alone, axis=1, keepdims=True), atol=1e-5)


def test_landmarks_and_pose_equal_insightface(pack: ModelPack, folder: Path) -> None:
    from insightface.app.common import Face
    from insightface.model_zoo import Landmark

    photo = noise(480, 640, 3)
    boxes = np.array([[100, 80, 220, 240], [400, 150, 620, 420], [-30, 300, 90, 470]], np.float32)
    reference = Landmark(str(folder / "1k3d68.onnx"))
    points, poses = pack.landmarks().locate(photo, Candidates(boxes, np.ones(3, np.float32)))
    assert points.shape == (3, 68, 2)
    assert poses is not None
    for box, found, pose in zip(boxes, points, poses, strict=True):
        face = Face(bbox=box)
        expected = reference.get(bgr(photo), face)
        np.testing.assert_allclose(found, expected[:, :2], atol=0.05)
        np.testing.assert_allclose([pose.pitch, pose.yaw, pose.roll], face.pose, atol=0.05)


def test_no_faces_give_no_landmarks(pack: ModelPack) -> None:
    nobody = Candidates(np.empty((0, 4), np.float32), np.empty(0, np.float32))
    points, poses = pack.landmarks().locate(noise(100, 100, 3), nobody)
    assert (points.shape, poses) == ((0, 68, 2), [])


@pytest.mark.parametrize(
    ("axis", "expected", "axis_of_motion"),
    [("x", Pose(0, 20, 0), 1), ("y", Pose(20, 0, 0), 0), ("z", Pose(0, 0, 20), None)],
)
def test_pose_signs(
    folder: Path, agreed: Settings, axis: str, expected: Pose, axis_of_motion: int | None
) -> None:
    """A head turned right (y), looking up (x) or tilted clockwise (z) by 20 degrees is reported so."""
    cos, sin = math.cos(math.radians(20)), math.sin(math.radians(20))
    rotation = {
        "x": [[1, 0, 0], [0, cos, -sin], [0, sin, cos]],
        "y": [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]],
        "z": [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
    }[axis]
    shape = synthetic.mean_shape() @ np.array(rotation).T
    synthetic.landmarks_3d(folder / "1k3d68.onnx", shape)
    box = Candidates(np.array([[100, 100, 300, 300]], np.float32), np.ones(1, np.float32))
    points, poses = load_pack(agreed).landmarks().locate(noise(400, 400, 3), box)
    assert poses is not None
    found = poses[0]
    np.testing.assert_allclose(
        [found.yaw, found.pitch, found.roll], [expected.yaw, expected.pitch, expected.roll], atol=1.5
    )
    nose = points[0, 30] - (points[0, 0] + points[0, 16]) / 2
    eyes = points[0, 45] - points[0, 36]
    if axis_of_motion is None:
        assert eyes[1] > 20  # clockwise: the eye on the right of the image sinks
    else:
        straight = np.array([0.0, 0.16 * 150])  # the mean shape's nose lies below the jaw's upper ends
        assert (nose - straight)[axis_of_motion] * (-1 if axis == "x" else 1) > 20


def test_age_and_gender_equal_insightface(pack: ModelPack, folder: Path) -> None:
    from insightface.app.common import Face
    from insightface.model_zoo import Attribute
    from insightface.utils import face_align

    assert pack.attribute_crop is not None
    assert (pack.attribute_crop.size, pack.attribute_crop.scale) == (96, 1.5)
    photo, reference = noise(300, 300, 3), Attribute(str(folder / "genderage.onnx"))
    crops, expected = [], []
    for box in np.array([[20, 30, 120, 150], [150, 100, 280, 220]], np.float32):
        expected.append(reference.get(bgr(photo), Face(bbox=box)))
        centre, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() * 1.5
        crops.append(face_align.transform(photo, centre, 96, 96 / side, 0)[0])
    ages, male = pack.age_gender().predict(np.stack(crops))
    for (gender, age), found_age, found_male in zip(expected, ages, male, strict=True):
        assert abs(found_age - age) <= 0.51
        assert (found_male >= 0.5) == (gender == 1)


def test_the_borrowed_expression_net_runs(pack: ModelPack) -> None:
    portrait = cv2.resize(noise(30, 30, 3), (112, 112)).astype(np.uint8)
    probabilities = pack.expression().predict(portrait[None])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def package(folder: Path, **recognition: Any) -> Path:
    """An InsightFace package with its own manifest, version 2, nets in a folder below."""
    synthetic.pack(folder / "nets")
    tasks = {
        "detection": {"file": "nets/det_tiny.onnx"},
        "recognition": {"file": "nets/w_arc.onnx", **recognition},
    }
    (folder / MANIFEST_FILE).write_text(
        json.dumps({"manifest_version": 2, "model_id": "mini", "license": "MODEL.LICENSE", "tasks": tasks})
    )
    return folder


def test_insightface_package_manifest(tmp_path: Path, agreed: Settings) -> None:
    from insightface.model_zoo import ArcFaceONNX

    folder = package(tmp_path / "packs" / "mini", preprocessing="embedded")
    chosen = agreed.model_copy(update={"pack": "mini"})
    pack = describe_pack(chosen)
    assert pack.borrowed == ("landmarks", "age_gender", "expression")
    assert pack.manifest.roles.embed.normalisation == "in_graph"
    assert not pack.commercial_use
    crop = noise(1, 112, 112, 3)
    raw = ArcFaceONNX(str(folder / "nets" / "w_arc.onnx"))
    raw.input_mean, raw.input_std = 0.0, 1.0
    expected = raw.get_feat([bgr(crop[0])])[0]
    vector = load_pack(chosen).embedder().embed(crop)[0]
    assert vector @ (expected / np.linalg.norm(expected)) > 0.99999


def test_insightface_package_with_a_wrong_file_is_refused(tmp_path: Path) -> None:
    folder = package(tmp_path / "mini", sha256="0" * 64)
    with pytest.raises(PackError, match=r"w_arc.onnx is damaged"):
        derive_manifest(folder)


def test_faulty_insightface_package_is_refused(tmp_path: Path) -> None:
    folder = package(tmp_path / "mini", embedding_dimension=-1)
    with pytest.raises(PackError, match=r"insightface refuses: .*embedding_dimension"):
        derive_manifest(folder)


def test_a_manifest_of_ours_beside_insightface_nets(folder: Path, agreed: Settings) -> None:
    """How a publisher states a licence, a threshold or other digests for nets of this kind."""
    content = derive_manifest(folder).model_dump(mode="json") | {"threshold": 0.33, "version": "7"}
    content["licence"] = {"name": "Apache-2.0", "file": None, "commercial_use": True}
    (folder / MANIFEST_FILE).write_text(json.dumps(content))
    loaded = load_pack(agreed.model_copy(update={"accept_noncommercial": False}))
    assert isinstance(loaded, InsightFacePack)
    assert loaded.threshold == 0.33
    (folder / "1k3d68.onnx").write_bytes(b"")
    with pytest.raises(PackError, match=r"1k3d68.onnx is damaged"):
        load_pack(agreed)
