"""What a model pack offers, independent of its nets: five roles, batched, NumPy in and out.

The deployments depend on these protocols only. Every method is synchronous, runs on the calling thread and
may be called from several threads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from semblance.types import Image, ModelInfo, Pose


@dataclass(frozen=True, slots=True)
class Candidates:
    """Faces a detector found, after its threshold and non-maximum suppression, best score first.

    boxes: float32 [N, 4], x1 y1 x2 y2 in pixels of the given image.
    scores: float32 [N], 0..1.
    keypoints: float32 [N, 5, 2] (left eye, right eye, nose, mouth corners, as seen in the image), or
        None if the detector gives none.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    keypoints: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the embedding net's crop is aligned: by the similarity transform that brings five points to a
    target.

    size: side of the square crop in pixels. target: float32 [5, 2] in crop pixels.
    points: from which five points; the means of the 68 landmarks or the detector's own keypoints.
    """

    size: int
    target: NDArray[np.float32]
    points: Literal["landmarks", "keypoints"]


@dataclass(frozen=True, slots=True)
class AttributeCrop:
    """A separate crop for the age and gender net: a square of `scale` times the box's long side around the
    box's centre, resized to `size` pixels."""

    size: int
    scale: float


class DetectNet(Protocol):
    """Finds faces. input_size is the side in pixels of the square canvas the image is fitted into."""

    input_size: int

    def detect(self, images: Sequence[Image]) -> list[Candidates]: ...


class LandmarkNet(Protocol):
    def locate(self, image: Image, candidates: Candidates) -> tuple[NDArray[np.float32], list[Pose] | None]:
        """float32 [N, 68, 2] in image pixels, and the poses where the net is three-dimensional."""
        ...


class EmbedNet(Protocol):
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, size, size, 3] to unit vectors float32 [N, 512]."""
        ...


class AgeGenderNet(Protocol):
    def predict(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 RGB [N, S, S, 3] to ages in years float32 [N] and probabilities of male float32 [N]."""
        ...


class ExpressionNet(Protocol):
    def predict(self, portraits: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, 112, 112, 3] to probabilities float32 [N, 7] in the order of `EMOTIONS`."""
        ...


class ModelPack(Protocol):
    """A verified pack. Each method builds one net with its own onnxruntime session, so that a replica holds
    only the nets that it runs."""

    info: ModelInfo
    threshold: float
    upright_score: float | None
    """Score that only upright faces reach; None if the detector finds no others."""
    small_face: float
    """Width of a face, as a share of the detector's canvas, below which it may miss others."""
    alignment: Alignment
    attribute_crop: AttributeCrop | None

    def detector(self) -> DetectNet: ...
    def landmarks(self) -> LandmarkNet: ...
    def embedder(self) -> EmbedNet: ...
    def age_gender(self) -> AgeGenderNet: ...
    def expression(self) -> ExpressionNet: ...
