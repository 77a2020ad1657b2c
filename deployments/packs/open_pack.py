"""The nets of the pack that ships with the project, and of any pack with the same inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.packs.image_net import CHECK_CANVASES, MAX_BATCH, ImageNet
from deployments.packs.manifest import (
    AgeGenderRole,
    DetectRole,
    EmbedRole,
    ExpressionRole,
    Role,
    Trim,
)
from deployments.packs.nets import Candidates
from deployments.packs.sessions import CPU, available_providers, multiplies_bytes
from deployments.vision.align import reducible_side, resize_square
from deployments.vision.nms import nms
from semblance.errors import PackError
from semblance.settings import Settings
from semblance.types import EMBEDDING_SIZE, EMOTIONS, Image, Pose

WITHIN = -1.0, 2.0
"""Where the edges of a box may lie, as shares of the canvas. Faces reach a little beyond the photo; a photo
made to fool the net must not cause crops of any size."""


class SsdDetector:
    """Single-shot detector with decoded outputs: boxes [N, A, 4], x1 y1 x2 y2 relative to the canvas, scores
    [N, A] and, if the net has them, keypoints [N, A, 5, 2]. Photos that are smaller than the canvas are
    not enlarged."""

    def __init__(self, folder: Path, role: DetectRole, settings: Settings) -> None:
        self.input_size = role.input_size
        self._role = role
        self._net = ImageNet(folder, role, settings, check=CHECK_CANVASES)
        self._screen = None
        if role.screen is not None and multiplies_bytes(settings):
            twin = role.model_copy(update={"file": role.screen.file})
            self._screen = ImageNet(folder, twin, settings, check=CHECK_CANVASES)

    def detect(self, images: Sequence[Image]) -> list[Candidates]:
        """Faces of each image, best score first. Images may have any size; without images the list is
        empty."""
        fitted = [_fit(image, self.input_size, self._role.trim) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, (canvas, _) in enumerate(fitted):
            by_shape.setdefault(canvas.shape, []).append(index)
        found: dict[int, Candidates] = {}
        for members in by_shape.values():
            boxes, scores, *keypoints = self._run([fitted[index][0] for index in members])
            for row, index in enumerate(members):
                likely = self._likely(boxes[row], scores[row], self._role.score_threshold)
                pixels = fitted[index][1]
                found[index] = Candidates(
                    boxes[row, likely].clip(*WITHIN) * np.tile(pixels, 2),
                    scores[row, likely],
                    keypoints[0][row, likely] * pixels if keypoints else None,
                )
        return [found[index] for index in range(len(images))]

    def _run(self, canvases: Sequence[Image]) -> list[NDArray[np.float32]]:
        """The outputs for canvases of one shape: the screen's, or the net's if the screen is unsure."""
        if self._screen is None or self._role.screen is None:
            return self._net.run(canvases)
        low, high = self._role.screen.unsure
        outputs = self._screen.run(canvases)
        boxes, scores = outputs[:2]
        unsure = [
            row
            for row in range(len(canvases))
            if (scores[row, self._likely(boxes[row], scores[row], low)] < high).any()
        ]
        if unsure:
            certainly = self._net.run([canvases[row] for row in unsure])
            for output, certain in zip(outputs, certainly, strict=True):
                output[unsure] = certain
        return outputs

    def _likely(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], threshold: float
    ) -> NDArray[np.intp]:
        """Indices of one image's boxes from `threshold` on that are the best of those they overlap."""
        above = np.flatnonzero(scores >= threshold)
        return above[nms(boxes[above], scores[above], self._role.nms_iou)]


def _fit(image: Image, side: int, trim: Trim | None) -> tuple[Image, NDArray[np.float32]]:
    """The image with its long side brought down to `side`, zero-padded right and bottom; and float32 [2], the
    factors from x and y relative to the whole canvas to pixels of the image."""
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    fitted_width, fitted_height = max(1, round(width * scale)), max(1, round(height * scale))
    # Shrinking by less than two, a bilinear kernel skips no pixel, and takes a quarter of the time.
    kernel = cv2.INTER_LINEAR if scale > 0.5 else cv2.INTER_AREA
    canvas = image if scale == 1 else cv2.resize(image, (fitted_width, fitted_height), interpolation=kernel)
    below, beside = (_extent(each, side, trim) - each for each in (fitted_height, fitted_width))
    if below or beside:
        canvas = cv2.copyMakeBorder(canvas, 0, below, 0, beside, cv2.BORDER_CONSTANT)
    factors = np.array([side * width / fitted_width, side * height / fitted_height], np.float32)
    return canvas.astype(np.uint8, copy=False), factors


def _extent(length: int, side: int, trim: Trim | None) -> int:
    """How much of the canvas's side the net must see for a photo that takes `length` of it."""
    return side if trim is None else min(side, -(-(length + trim.margin) // trim.step) * trim.step)


class BoxLandmarks:
    """68 landmarks from the content of a face box: output [N, 68, 2] relative to the padded square."""

    def __init__(self, folder: Path, role: Role, settings: Settings) -> None:
        self._size = role.input_size
        self._net = ImageNet(folder, role, settings)

    def locate(self, image: Image, candidates: Candidates) -> tuple[NDArray[np.float32], list[Pose] | None]:
        """float32 [N, 68, 2] in image pixels; the net is flat, so there are no poses."""
        if not len(candidates.boxes):
            return np.empty((0, 68, 2), np.float32), None
        cut = [_padded_square(image, box, self._size) for box in candidates.boxes]
        (relative,) = self._net.run([crop for crop, _, _ in cut])
        sides = np.array([side for _, side, _ in cut], np.float32)
        origins = np.array([origin for _, _, origin in cut], np.float32)
        return relative * sides[:, None, None] + origins[:, None, :], None


def _padded_square(
    image: Image, box: NDArray[np.float32], size: int
) -> tuple[Image, float, tuple[float, float]]:
    """The part of the box that lies in the image, zero-padded to a centred square and resized to `size`.

    The net was trained on such crops: black around the face, not its surroundings. Also returns the
    square's side and its top-left corner in image pixels.
    """
    height, width = image.shape[:2]
    x1, x2 = _span(float(box[0]), float(box[2]), width)
    y1, y2 = _span(float(box[1]), float(box[3]), height)
    if max(x2 - x1, y2 - y1) < size:
        return _enlarged_square(image, np.clip(box, 0, [width, height, width, height]), size)
    side = reducible_side(max(x2 - x1, y2 - y1), size)
    left, top = (side - (x2 - x1)) // 2, (side - (y2 - y1)) // 2
    square = np.zeros((side, side, 3), np.uint8)
    square[top : top + y2 - y1, left : left + x2 - x1] = image[y1:y2, x1:x2]
    return resize_square(square, size), side, (x1 - left, y1 - top)


def _enlarged_square(
    image: Image, box: NDArray[np.floating], size: int
) -> tuple[Image, float, tuple[float, float]]:
    """As `_padded_square`, for a box smaller than the crop: cut to fractions of a pixel, with a cubic kernel.
    On faces 12 and 16 pixels wide the landmarks are then off by .20 and .09 of the distance between the eyes;
    with whole pixels and a linear kernel they are off by .32 and .11."""
    width, height = (max(1.0, float(high - low)) for low, high in ((box[0], box[2]), (box[1], box[3])))
    side = max(width, height)
    left, top = float(box[0]) - (side - width) / 2, float(box[1]) - (side - height) / 2
    scale = size / side
    x, y = ((0.5 - start) * scale - 0.5 for start in (left, top))
    crop = cv2.warpAffine(
        image, np.array([(scale, 0.0, x), (0.0, scale, y)]), (size, size), flags=cv2.INTER_CUBIC
    )
    beside, above = round((side - width) / 2 * scale), round((side - height) / 2 * scale)
    crop[:, :beside] = crop[:, size - beside :] = 0
    crop[:above] = crop[size - above :] = 0
    return crop.astype(np.uint8, copy=False), side, (left, top)


def _span(low: float, high: float, limit: int) -> tuple[int, int]:
    """The interval in whole pixels inside 0..limit, at least one pixel long."""
    start = min(max(int(np.floor(low)), 0), limit - 1)
    return start, max(min(int(np.floor(high)), limit), start + 1)


class VectorNet:
    """Embeddings: L2 normalisation, if the pack has a centre minus that and L2 normalisation again, zeros up
    to 512.

    A CPU runs one face at a time: in a batch of eight SFace takes half as long again per face, because the
    activations no longer fit the caches.
    """

    def __init__(self, folder: Path, role: EmbedRole, settings: Settings) -> None:
        on_cpu = available_providers(settings)[0] == CPU
        self._net = ImageNet(folder, role, settings, largest=1 if on_cpu else MAX_BATCH)
        self._dimensions = role.dimensions
        self._centre: NDArray[np.float32] | None = None
        if role.centre is not None:
            centre = np.load(folder / role.centre, allow_pickle=False)
            if centre.shape != (role.dimensions,):
                raise PackError(
                    f"{folder / role.centre} must hold {role.dimensions} numbers, not {centre.shape}."
                )
            self._centre = centre.astype(np.float32)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] to unit vectors float32 [N, 512]."""
        vectors = np.zeros((len(crops), EMBEDDING_SIZE), np.float32)
        if len(crops):
            (raw,) = self._net.run(crops)
            directions = unit(raw)
            if self._centre is not None:
                directions = unit(directions - self._centre)
            vectors[:, : self._dimensions] = directions
        return vectors


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows scaled to length 1."""
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


class PortraitAgeGender:
    """Outputs age [N, 1] in years and gender [N, 2], probabilities of male and female."""

    def __init__(self, folder: Path, role: AgeGenderRole, settings: Settings) -> None:
        self._net = ImageNet(folder, role, settings)

    def predict(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """uint8 RGB [N, S, S, 3] to ages in years float32 [N] and probabilities of male float32 [N]."""
        if not len(crops):
            return np.empty(0, np.float32), np.empty(0, np.float32)
        age, gender = self._net.run(crops)
        return np.maximum(age[:, 0], 0), gender[:, 0]


class PortraitExpression:
    """Output [N, 7], probabilities in the order of the role's labels."""

    def __init__(self, folder: Path, role: ExpressionRole, settings: Settings) -> None:
        self._net = ImageNet(folder, role, settings)
        self._order = [role.labels.index(emotion) for emotion in EMOTIONS]

    def predict(self, portraits: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 RGB [N, S, S, 3] to probabilities float32 [N, 7] in the order of EMOTIONS."""
        if not len(portraits):
            return np.empty((0, len(EMOTIONS)), np.float32)
        (probabilities,) = self._net.run(portraits)
        return probabilities[:, self._order]
