"""An exactly symmetric synthetic face of 68 points, for properties that real photos have only nearly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deployments.vision.landmarks import MIRROR

_LEFT_HALF = {
    **{i: (-70 * np.cos(i * np.pi / 16), 90 * np.sin(i * np.pi / 16)) for i in range(8)},
    **{17: (-60, -30), 18: (-52, -36), 19: (-42, -38), 20: (-31, -36), 21: (-20, -32)},
    **{31: (-12, 33), 32: (-6, 35)},
    **{36: (-44, -8), 37: (-37, -13), 38: (-27, -13), 39: (-20, -7), 40: (-27, -3), 41: (-37, -3)},
    **{48: (-25, 55), 49: (-16, 50), 50: (-6, 48), 58: (-7, 66), 59: (-17, 62)},
    **{60: (-22, 55), 61: (-8, 53), 67: (-8, 58)},
}
_MIDLINE = {8: 90, 27: -12, 28: 0, 29: 11, 30: 22, 33: 36, 51: 49, 57: 67, 62: 54, 66: 58}


def level_face() -> NDArray[np.float32]:
    """Landmarks, float32 [68, 2], about the origin, eyes 64 pixels apart."""
    points = np.zeros((68, 2))
    for index, (x, y) in _LEFT_HALF.items():
        points[index] = x, y
        points[MIRROR[index]] = -x, y
    for index, y in _MIDLINE.items():
        points[index] = 0, y
    return points.astype(np.float32)


def moved(
    points: NDArray[np.float32], degrees: float, scale: float, dx: float, dy: float
) -> NDArray[np.float32]:
    """Turned clockwise as seen in the image, scaled and shifted."""
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.asarray(points.astype(np.float64) @ np.array([(c, s), (-s, c)]) + (dx, dy), np.float32)


def flipped(points: NDArray[np.float32], width: float) -> NDArray[np.float32]:
    """The landmarks of the mirrored photo: positions mirrored, left and right swapped."""
    mirrored = points[..., MIRROR, :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored
