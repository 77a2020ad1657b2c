"""Folders of InsightFace nets: which file plays which role, and how its outputs are decoded.

The rules and decoders are those of insightface's own model zoo; only sessions, batches and digests are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from insightface.data import get_object
from insightface.model_zoo import SCRFD, ArcFaceONNX, Attribute, Landmark, load_model_package
from insightface.model_zoo.model_license import inspect_model_package_license
from insightface.model_zoo.package_manifest import (
    DETECTION_TASK,
    EMBEDDED_PREPROCESSING,
    RECOGNITION_TASK,
    ModelTaskDescriptor,
    has_model_package_manifest,
)
from insightface.utils import face_align, transform
from numpy.typing import NDArray

from deployments.packs.image_net import ImageNet
from deployments.packs.manifest import (
    AgeGenderRole,
    DetectRole,
    EmbedRole,
    Licence,
    Manifest,
    Normalisation,
    Role,
    Roles,
    check_digest,
    validated,
)
from deployments.packs.nets import AgeGenderNet, Candidates, DetectNet, LandmarkNet
from deployments.packs.pack import LoadedPack
from deployments.packs.sessions import open_session
from semblance.errors import PackError
from semblance.files import file_sha256
from semblance.settings import Settings
from semblance.types import Image, Pose

THRESHOLD = 0.40
"""Cosine from which two ArcFace vectors count as one person: the base gate that insightface 2.1 sets for
identity confirmation. Measure your own for other nets and put it into a manifest."""

DETECT_SIZES = (128, 640)
"""Canvases that SCRFD searches if its graph leaves the size free: insightface's default. The small one finds
faces that fill the photo, at 4 % of the cost of the large one."""

BOX_SCALE = 1.5
"""Side of the landmark and attribute crops as a multiple of the face box's long side (insightface)."""

_SCRFD_10G = "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"
_LANDMARKS = "df5c06b8a0c12e422b2ed8947b8869faa4105387f199c477af038aa01f9a45cc"
_GENDERAGE = "4fde69b1c810857b88c64a335084f1c3fe8f01246c9a191b48c7bb756d6652fb"
_SMALL = {
    "det_500m.onnx": "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a",
    "w600k_mbf.onnx": "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
}
KNOWN_DIGESTS: dict[str, dict[str, str]] = {
    "buffalo_l": {
        "det_10g.onnx": _SCRFD_10G,
        "1k3d68.onnx": _LANDMARKS,
        "genderage.onnx": _GENDERAGE,
        "w600k_r50.onnx": "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
    },
    "buffalo_s": {**_SMALL, "1k3d68.onnx": _LANDMARKS},
    "buffalo_sc": _SMALL,
    "antelopev2": {
        "scrfd_10g_bnkps.onnx": _SCRFD_10G,
        "1k3d68.onnx": _LANDMARKS,
        "genderage.onnx": _GENDERAGE,
        "glintr100.onnx": "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf",
    },
}
"""SHA-256 of files in InsightFace's public archives, which have no checksums of their own; several
independent projects pin the same ones. A folder with one of these names must hold these files."""


def derive_manifest(folder: Path) -> Manifest:
    """Make a manifest for a folder that has no semblance-pack manifest: roles by insightface's rules, digests
    of the files, checked against the known ones.

    Raises PackError if a net is missing, unreadable or not the published one.
    """
    roles, declared = _package_roles(folder) if has_model_package_manifest(folder) else _routed_roles(folder)
    known = KNOWN_DIGESTS.get(folder.name, {}) | declared
    digests = {role.file: file_sha256(folder / role.file) for _, role in roles.present()}
    for name, actual in digests.items():
        check_digest(folder.name, folder / name, known.get(name, actual), actual)
    return validated(
        lambda: Manifest(
            format="semblance-pack/1",
            name=folder.name,
            version="unversioned",
            description="InsightFace nets, recognised by their inputs and outputs.",
            licence=Licence(name="InsightFace model licence", file=None, commercial_use=False),
            decoder="insightface",
            threshold=THRESHOLD,
            roles=roles,
            sha256=digests,
        ),
        folder,
    )


def has_commercial_licence(folder: Path) -> bool:
    """Whether the folder holds a commercial MODEL.LICENSE whose signature insightface accepts."""
    return bool(inspect_model_package_license(folder).grant == "commercial")


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: list[int | str | None]
    type: str = "tensor(float)"


class _Graph:
    """Inputs and outputs of an ONNX file in the form of a session. With it insightface's classes can tell
    what a file is without loading it for inference."""

    def __init__(self, path: Path) -> None:
        try:
            graph = onnx.load_model(path, load_external_data=False).graph
        except (DecodeError, OSError) as exc:
            raise PackError(f"{path} is not a readable ONNX file: {exc}") from exc
        weights = {tensor.name for tensor in graph.initializer}
        self.inputs = [_tensor(value) for value in graph.input if value.name not in weights]
        self.outputs = [_tensor(value) for value in graph.output]

    def get_inputs(self) -> list[_Tensor]:
        return self.inputs

    def get_outputs(self) -> list[_Tensor]:
        return self.outputs


def _tensor(value: onnx.ValueInfoProto) -> _Tensor:
    dimensions = value.type.tensor_type.shape.dim
    return _Tensor(value.name, [int(dim.dim_value) or dim.dim_param or None for dim in dimensions])


def _routed_roles(folder: Path) -> tuple[Roles, dict[str, str]]:
    """Roles by the shapes of inputs and outputs; if several files fit a role, the first by name."""
    roles: dict[str, Role] = {}
    for path in sorted(folder.glob("*.onnx")):
        if (role := _route(path)) is not None:
            roles.setdefault(*role)
    missing = [name for name in ("detect", "embed") if name not in roles]
    if missing:
        raise PackError(
            f"{folder} holds no net for {' and '.join(missing)}: an InsightFace pack needs an SCRFD detector "
            "and an ArcFace net. Unpack the whole archive into it."
        )
    return Roles.model_validate(roles), {}


def _route(path: Path) -> tuple[str, Role] | None:
    """The rule of insightface's ModelRouter, for the tasks that are roles here."""
    graph = _Graph(path)
    shape = graph.inputs[0].shape if graph.inputs else []
    if len(graph.outputs) >= 5:
        return "detect", _detect_role(path, graph)
    if len(graph.inputs) != 1 or len(shape) != 4 or len(graph.outputs) != 1:
        return None
    height, width = shape[2:]
    numbers = graph.outputs[0].shape[-1]
    match height:
        case 192 if width == 192:
            is_3d_68 = numbers == 3309  # the other published net of this size gives 106 flat points
            return (
                ("landmarks", Role(**_common(path, graph, Landmark(str(path), graph)))) if is_3d_68 else None
            )
        case 96 if width == 96:
            common = _common(path, graph, Attribute(str(path), graph))
            return ("age_gender", AgeGenderRole(**common, crop_scale=BOX_SCALE)) if numbers == 3 else None
        case int() if width == height and height >= 112 and height % 16 == 0:
            return "embed", _embed_role(path, graph, ArcFaceONNX(str(path), graph))
    return None


def _package_roles(folder: Path) -> tuple[Roles, dict[str, str]]:
    """Roles and digests declared by insightface's own package manifest."""
    try:
        tasks = load_model_package(folder).tasks
    except (OSError, TypeError, ValueError) as exc:
        raise PackError(f"{folder} has a package manifest that insightface refuses: {exc}.") from exc
    missing = [task for task in (DETECTION_TASK, RECOGNITION_TASK) if task not in tasks]
    if missing:
        raise PackError(f"The package manifest of {folder} declares no {' and no '.join(missing)}.")
    detection, recognition = tasks[DETECTION_TASK], tasks[RECOGNITION_TASK]
    detect_graph, embed_graph = _Graph(detection.path), _Graph(recognition.path)
    detect = _detect_role(detection.path, detect_graph)
    embed = _embed_role(
        recognition.path,
        embed_graph,
        ArcFaceONNX(str(recognition.path), embed_graph),
        size=recognition.metadata["input_size"][0],
    )
    roles = Roles(
        detect=detect.model_copy(update=_declared(detection)),
        embed=embed.model_copy(update=_declared(recognition)),
    )
    return roles, {task.file: task.sha256 for task in (detection, recognition) if task.sha256 is not None}


def _declared(task: ModelTaskDescriptor) -> dict[str, Any]:
    preprocessing = task.metadata["preprocessing"]
    normalisation = "in_graph" if preprocessing == EMBEDDED_PREPROCESSING else Normalisation(**preprocessing)
    return {"file": task.file, "normalisation": normalisation}


def _common(path: Path, graph: _Graph, model: Any) -> dict[str, Any]:
    """The part of a role that insightface's model object states: size, normalisation and outputs."""
    return {
        "file": path.name,
        "input_size": model.input_size[0],
        "normalisation": Normalisation(mean=model.input_mean, std=model.input_std),
        "outputs": tuple(output.name for output in graph.outputs),
    }


def _detect_role(path: Path, graph: _Graph) -> DetectRole:
    model = SCRFD(str(path), graph)
    if not model.use_kps:
        raise PackError(f"{path} finds no keypoints, which alignment needs: use an SCRFD net with keypoints.")
    return DetectRole(
        **_common(path, graph, model), score_threshold=model.det_thresh, nms_iou=model.nms_thresh
    )


def _embed_role(path: Path, graph: _Graph, model: Any, size: int | None = None) -> EmbedRole:
    common = _common(path, graph, model) | ({} if size is None else {"input_size": size})
    dimensions = graph.outputs[0].shape[-1]
    if not isinstance(dimensions, int):
        raise PackError(f"{path} does not state the size of its embedding.")
    target = _arcface_target(common["input_size"], path)
    return validated(
        lambda: EmbedRole(**common, points="keypoints", target=target, dimensions=dimensions), path
    )


def _arcface_target(size: int, path: Path) -> Any:
    """insightface's alignment target for a crop of `size` pixels (face_align.estimate_norm)."""
    if size % 112 == 0:
        target = face_align.arcface_dst * (size / 112)
    elif size % 128 == 0:
        target = np.add(face_align.arcface_dst, (8, 0)) * (size / 128)
    else:
        raise PackError(f"{path} takes {size} px; insightface aligns to multiples of 112 or 128.")
    return target.tolist()


class InsightFacePack(LoadedPack):
    """A pack whose nets for detection, landmarks, age and gender are InsightFace's."""

    def detector(self) -> DetectNet:
        return ScrfdDetector(self.folder, self.manifest.roles.detect, self.settings)

    def landmarks(self) -> LandmarkNet:
        role = self.manifest.roles.landmarks
        return super().landmarks() if role is None else Landmarks3d(self.folder, role, self.settings)

    def age_gender(self) -> AgeGenderNet:
        role = self.manifest.roles.age_gender
        return super().age_gender() if role is None else GenderAge(self.folder, role, self.settings)


class ScrfdDetector:
    """SCRFD, decoded by insightface one image at a time."""

    def __init__(self, folder: Path, role: DetectRole, settings: Settings) -> None:
        path = folder / role.file
        session = open_session(path, settings)
        self._net = SCRFD(str(path), session, static_shape_sessions=False)
        fixed = self._net.static_input_size
        if not self._net.use_kps or (fixed is not None and fixed != (role.input_size,) * 2):
            raise PackError(
                f"{path} is no SCRFD with keypoints at {role.input_size} px, as its manifest says."
            )
        self._net.det_thresh, self._net.nms_thresh = role.score_threshold, role.nms_iou
        normalisation = role.normalisation
        if normalisation == "in_graph":
            normalisation = Normalisation(mean=0, std=1)
        self._net.input_mean, self._net.input_std = normalisation.mean, normalisation.std
        self._net.input_dtype = np.uint8 if session.get_inputs()[0].type == "tensor(uint8)" else np.float32
        self.input_size = role.input_size
        self._sizes = [(size, size) for size in sorted({*DETECT_SIZES[:-1], role.input_size})]

    def detect(self, images: Sequence[Image]) -> list[Candidates]:
        """Faces of each image with their five keypoints, best score first."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image) -> Candidates:
        found, keypoints = self._net.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), input_size=self._sizes)
        return Candidates(
            found[:, :4].astype(np.float32), found[:, 4].astype(np.float32), keypoints.astype(np.float32)
        )


class Landmarks3d:
    """1k3d68: 68 landmarks with depth, and the head pose from them (insightface's Landmark, batched)."""

    def __init__(self, folder: Path, role: Role, settings: Settings) -> None:
        self._size = role.input_size
        self._net = ImageNet(folder, role, settings)
        self._mean_shape: NDArray[np.float64] = get_object("meanshape_68.pkl")

    def locate(self, image: Image, candidates: Candidates) -> tuple[NDArray[np.float32], list[Pose] | None]:
        """float32 [N, 68, 2] in image pixels, and one pose per face."""
        if not len(candidates.boxes):
            return np.empty((0, 68, 2), np.float32), []
        sides = (candidates.boxes[:, 2:] - candidates.boxes[:, :2]).max(axis=1) * BOX_SCALE
        centres = (candidates.boxes[:, :2] + candidates.boxes[:, 2:]) / 2
        scales = self._size / sides
        crops = [
            face_align.transform(image, centre, self._size, scale, 0)[0]
            for centre, scale in zip(centres, scales, strict=True)
        ]
        (raw,) = self._net.run(np.stack(crops))
        half = self._size / 2
        points = raw.reshape(len(raw), -1, 3)[:, -68:]
        flat = points[..., :2] * half / scales[:, None, None] + centres[:, None]
        depth = points[..., 2:] * half / scales[:, None, None]
        return flat.astype(np.float32), [
            self._pose(shape) for shape in np.concatenate([flat, depth], axis=2).astype(np.float64)
        ]

    def _pose(self, points: NDArray[np.float64]) -> Pose:
        """insightface's fit of the mean shape; its angles have the signs of Pose."""
        matrix = transform.estimate_affine_matrix_3d23d(self._mean_shape, points)
        pitch, yaw, roll = transform.matrix2angle(transform.P2sRt(matrix)[1])
        return Pose(yaw=float(yaw), pitch=float(pitch), roll=float(roll))


class GenderAge:
    """genderage: output [N, 3], logits of female and male, and age in hundreds of years."""

    def __init__(self, folder: Path, role: AgeGenderRole, settings: Settings) -> None:
        self._net = ImageNet(folder, role, settings)

    def predict(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 RGB [N, S, S, 3] to ages in years float32 [N] and probabilities of male float32 [N]."""
        if not len(crops):
            return np.empty(0, np.float32), np.empty(0, np.float32)
        (raw,) = self._net.run(crops)
        male = 1 / (1 + np.exp(raw[:, 0] - raw[:, 1]))
        return np.maximum(raw[:, 2] * 100, 0), male.astype(np.float32)
