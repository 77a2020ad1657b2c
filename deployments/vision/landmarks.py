"""The 68 points of iBUG 300-W (Sagonas et al., Image and Vision Computing 47, 2016): which is which.

Left and right are as seen in the image. 0-16 jaw from left to right with the chin at 8, 17-21 left brow,
22-26 right brow, 27-30 nose bridge to tip, 31-35 nose base, 36-41 left eye and 42-47 right eye clockwise from
the left corner, 48-59 outer and 60-67 inner lips clockwise from the left corner.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

JAW: Final = slice(0, 17)
LEFT_BROW: Final = slice(17, 22)
RIGHT_BROW: Final = slice(22, 27)
LEFT_EYE: Final = slice(36, 42)
RIGHT_EYE: Final = slice(42, 48)
OUTER_LIPS: Final = slice(48, 60)

_PAIRS: Final = (
    *zip(range(8), range(16, 8, -1), strict=True),
    *zip(range(17, 22), range(26, 21, -1), strict=True),
    (31, 35),
    (32, 34),
    (36, 45),
    (37, 44),
    (38, 43),
    (39, 42),
    (40, 47),
    (41, 46),
    (48, 54),
    (49, 53),
    (50, 52),
    (59, 55),
    (58, 56),
    (60, 64),
    (61, 63),
    (67, 65),
)


def _mirror() -> NDArray[np.intp]:
    mirror = np.arange(68)
    for left, right in _PAIRS:
        mirror[left], mirror[right] = right, left
    return mirror


MIRROR: Final = _mirror()
"""int [68]: the index of each point's mirror image; points on the midline are their own."""


def means_of(*groups: slice) -> NDArray[np.float64]:
    """float64 [groups, 68]: its product with landmarks [..., 68, 2] is the mean of each group of points."""
    weights = np.zeros((len(groups), len(MIRROR)))
    for row, group in zip(weights, groups, strict=True):
        row[group] = 1.0
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


_EYES: Final = means_of(LEFT_EYE, RIGHT_EYE)


def eye_centres(landmarks: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of the left and the right eye's six points. landmarks: [..., 68, 2]. Each float64 [..., 2]."""
    centres = _EYES @ landmarks
    return centres[..., 0, :], centres[..., 1, :]


def complex_points(points: NDArray[np.floating]) -> NDArray[np.complex128]:
    """[..., 2] as complex128 [...], x + iy: a product turns and scales in the plane."""
    return np.ascontiguousarray(points, np.float64).view(np.complex128)[..., 0]
