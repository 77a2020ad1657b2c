"""Views of a photo (reduced, cut or turned) and the faces found in them.

A matrix is float64 [2, 3] and maps full-size pixels of the upright photo to pixels of the view's image,
both with the centre of the top-left pixel at (0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from deployments.packs.nets import Candidates
from deployments.vision.align import transform_points, warp
from semblance.types import Image

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """The photo or a part of it, with a border of `padding` times its long side, turned counter-clockwise by
    `angle` degrees."""

    image: Image
    angle: int
    padding: float
    matrix: Matrix


@dataclass(frozen=True, slots=True)
class SeenFace:
    """One face, in pixels of the view in which it is seen best.

    outline: float32 [4, 2], the corners of its box as it was first found, in pixels of the full-size photo.
    """

    view: View
    candidate: Candidates
    outline: NDArray[np.float32]


def turned(view: View, angle: int, padding: float) -> View:
    """An upright view with a border, turned; large enough to hold its corners."""
    if not angle and not padding:
        return view
    height, width = view.image.shape[:2]
    matrix = np.asarray(cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0), np.float64)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    margin = 2 * padding * max(width, height)
    size = (round(width * cos + height * sin + margin), round(width * sin + height * cos + margin))
    matrix[:, 2] += (np.array(size) - (width, height)) / 2
    image = cv2.warpAffine(view.image, matrix, size, flags=cv2.INTER_LINEAR)
    return View(image.astype(np.uint8, copy=False), angle, padding, then(view.matrix, matrix))


def around(view: View, box: NDArray[np.float32], span: float, angle: int, size: int | None = None) -> View:
    """A square around a face, `span` times as wide as its box is long, turned by a further `angle`.

    size: side of the new view in pixels; None keeps the scale. What lies outside the photo is black.
    """
    side = span * max(1.0, float(box[2] - box[0]), float(box[3] - box[1]))
    size = max(1, round(side)) if size is None else size
    centre = (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, angle, size / side), np.float64)
    matrix[:, 2] += (size - 1) / 2 - np.array(centre)
    total = (view.angle + angle) % 360
    return View(warp(view.image, matrix, size), total, view.padding, then(view.matrix, matrix))


def quarter_turned(view: View, quarters: int) -> View:
    """A square view turned counter-clockwise by so many quarters, which moves its pixels and mixes none."""
    middle = (len(view.image) - 1) / 2
    matrix = np.asarray(cv2.getRotationMatrix2D((middle, middle), 90 * quarters, 1.0), np.float64)
    image = np.ascontiguousarray(np.rot90(view.image, quarters))
    return View(image, (view.angle + 90 * quarters) % 360, view.padding, then(view.matrix, matrix))


def reduction(scale: float, begin: tuple[int, int] = (0, 0)) -> Matrix:
    """The matrix from full-size pixels to blocks of 1 / scale x 1 / scale pixels, the first of which begins
    at `begin`. The centres of pixels and of blocks are whole numbers."""
    x, y = ((scale - 1) / 2 - start * scale for start in begin)
    return np.array([(scale, 0.0, x), (0.0, scale, y)])


def then(first: Matrix, second: Matrix) -> Matrix:
    """The affine matrix that maps as `first` and then `second` do."""
    return np.asarray(second @ np.vstack([first, (0.0, 0.0, 1.0)]))


def inverse(matrix: Matrix) -> Matrix:
    """The affine matrix that maps back."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)


def between(source: View, target: View) -> Matrix:
    """The matrix from pixels of one view to those of another."""
    return then(inverse(source.matrix), target.matrix)


def seen_faces(view: View, candidates: Candidates) -> list[SeenFace]:
    """The faces found in a view, one SeenFace each."""
    x1, y1, x2, y2 = candidates.boxes.T
    corners = np.stack([x1, y1, x2, y1, x2, y2, x1, y2], axis=1).reshape(-1, 4, 2)
    outlines = transform_points(corners, inverse(view.matrix))
    return [
        SeenFace(view, take(candidates, np.array([index])), outline) for index, outline in enumerate(outlines)
    ]


def confidence(candidates: Candidates) -> float:
    """The best score, 0 without faces."""
    return float(candidates.scores.max(initial=0.0))


def take(candidates: Candidates, index: NDArray[np.intp]) -> Candidates:
    """Those of the given indices, in their order."""
    keypoints = None if candidates.keypoints is None else candidates.keypoints[index]
    return Candidates(candidates.boxes[index], candidates.scores[index], keypoints)


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """All of them, with keypoints where all parts have some."""
    keypoints = [part.keypoints for part in parts if part.keypoints is not None]
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate(keypoints) if len(keypoints) == len(parts) else None,
    )


def moved(candidates: Candidates, matrix: Matrix) -> Candidates:
    """The same faces in the pixels of an image that is shifted or of another size, but turned alike."""
    keypoints = candidates.keypoints
    return Candidates(
        transform_points(candidates.boxes.reshape(-1, 2, 2), matrix).reshape(-1, 4),
        candidates.scores,
        None if keypoints is None else transform_points(keypoints, matrix),
    )
