"""Overlap of boxes and non-maximum suppression. Boxes are x1 y1 x2 y2 in any one unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def iou_matrix(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of every box with every box.

    first: float32 [N, 4]. second: float32 [M, 4]. Returns float32 [N, M], 0..1; a box without area
    overlaps nothing.
    """
    a, b = first.astype(np.float64)[:, None], second.astype(np.float64)[None]
    overlap = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    intersection = np.prod(np.maximum(overlap, 0.0), axis=-1)
    union = _area(a) + _area(b) - intersection
    ratio = np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)
    return np.asarray(ratio, np.float32)


def nms(boxes: NDArray[np.float32], scores: NDArray[np.float32], iou: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: of boxes that overlap by more than `iou`, keep the best.

    boxes: float32 [N, 4]. scores: float32 [N]; equal scores keep their order. iou: 0..1.
    Returns indices of the kept boxes, best score first.
    """
    remaining = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while remaining.size:
        best, remaining = int(remaining[0]), remaining[1:]
        kept.append(best)
        overlaps = iou_matrix(boxes[best : best + 1], boxes[remaining])[0]
        remaining = remaining[overlaps <= iou]
    return np.asarray(kept, dtype=np.intp)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1), np.float64)
