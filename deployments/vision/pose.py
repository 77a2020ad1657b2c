"""Head pose from 2-D landmarks: a weak-perspective least-squares fit of a rigid mean face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from semblance.types import Pose

_HALF_FACE: Final = {
    17: (-0.450, -0.444, 0.266),
    21: (-0.145, -0.458, 0.421),
    27: (0.0, -0.323, 0.462),
    28: (0.0, -0.256, 0.510),
    29: (0.0, -0.199, 0.553),
    30: (0.0, -0.143, 0.599),
    31: (-0.139, 0.028, 0.419),
    32: (-0.074, 0.039, 0.476),
    33: (0.0, 0.040, 0.515),
    36: (-0.382, -0.313, 0.261),
    39: (-0.147, -0.313, 0.316),
}
"""Left half and midline of the rigid points of a mean face: brow ends, nose, eye corners; x right, y down,
z towards the viewer, in units of about 11 cm. From the 68-point mean shape of insightface (MIT,
`meanshape_68`), its two halves averaged. Lips and chin move with the expression, and the jaw of the 68 points
is the silhouette, a different line of the head in every pose: with them the yaw of a profile comes out at two
thirds."""

_RIGHT_OF: Final = {17: 26, 21: 22, 31: 35, 32: 34, 36: 45, 39: 42}

_UPRIGHT_DEGREES: Final = -17.0
"""Pitch that a level face gets against the table as it stands, the median over 20 upright portraits: the
annotated nose sits lower between the eyes than the mean shape's. The model is tilted by it before the fit."""


def _model() -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Indices of the rigid points, int [K], and their positions about their centroid, [K, 3]."""
    points = dict(_HALF_FACE)
    points |= {right: (-x, y, z) for left, right in _RIGHT_OF.items() for x, y, z in [_HALF_FACE[left]]}
    order = sorted(points)
    angle = np.radians(_UPRIGHT_DEGREES)
    tilt = np.array(
        [(1, 0, 0), (0, np.cos(angle), -np.sin(angle)), (0, np.sin(angle), np.cos(angle))], np.float64
    )
    model = np.array([points[index] for index in order], np.float64) @ tilt.T
    return np.array(order), model - model.mean(axis=0)


_INDICES, _MODEL = _model()
_FIT: Final = np.linalg.pinv(_MODEL)


def estimate_pose(landmarks: NDArray[np.float32]) -> list[Pose]:
    """Yaw, pitch and roll of faces.

    landmarks: float32 [N, 68, 2], pixels of the upright image. Returns N poses in degrees with the signs of
    `Pose`: yaw positive towards the right side of the image, pitch positive upwards, roll positive clockwise.
    Turning the image by some angle adds it to the roll and changes neither yaw nor pitch.

    Landmarks = s R model + t with an affine 2x3 matrix in place of s R is linear least squares; the rotation
    has for two rows the nearest orthonormal ones (by singular value decomposition) and their cross product as
    the third. R = Rz(roll) Ry(yaw) Rx(pitch). Perspective is neglected, which costs a few degrees in selfies;
    yaw and pitch beyond about 60 degrees are as unreliable as the landmarks themselves.
    """
    points = landmarks[:, _INDICES].astype(np.float64)
    points -= points.mean(axis=1, keepdims=True)
    affine = np.swapaxes(_FIT @ points, 1, 2)
    left, _, right = np.linalg.svd(affine, full_matrices=False)
    return [_pose(x, y) for x, y in (left @ right).tolist()]


def _pose(x: Sequence[float], y: Sequence[float]) -> Pose:
    """The angles of the rotation with these first two rows."""
    z = x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]
    yaw = math.atan2(-z[0], math.hypot(x[0], y[0]))
    pitch, roll = math.atan2(z[1], z[2]), math.atan2(y[0], x[0])
    return Pose(yaw=math.degrees(yaw), pitch=math.degrees(pitch), roll=math.degrees(roll))
