"""What to do better in the next photo of a face: the reasons why this one is less fit to be matched."""

from __future__ import annotations

from typing import Final

import numpy as np

from semblance.types import Advice, AnalyzedFace

_SHARP: Final = 0.36
"""Blur score at which a well lit face just has the overall quality that matching requires, .6."""

_LEAST_SIDE: Final = 46.0
"""Long side of the landmarks' bounds in pixels. With its border, a smaller face fills less than half of the
portrait's 112 pixels, which are then mostly interpolated."""

_YAW: Final = 40.0
_PITCH: Final = 30.0
"""Degrees from which on much of one side, or of the lower or upper part, is hidden. People who look at the
camera stay below 25."""

_LOST: Final = 0.03
"""Share of landmarks outside of the image: of 68, one or two on the jaw are within the error of the net."""


def advice(face: AnalyzedFace, width: int, height: int) -> list[Advice]:
    """What is wrong with the photo of a face, what matters most first; empty if it is fine.

    width, height: of the upright image, in pixels. Whether something covers the face is not measured.

    A small or dark face is not called blurred as well: its blur score is low for that reason.
    """
    quality, pose, points = face.attributes.quality, face.attributes.pose, face.detected.landmarks
    outside = (points < 0) | (points > (width - 1, height - 1))
    is_small = float(np.ptp(points, axis=0).max()) < _LEAST_SIDE
    is_blurred = quality.blur_score < _SHARP and not is_small and quality.light_fault != "too_dark"
    found: list[Advice | None] = [
        "cut_off" if float(outside.any(axis=1).mean()) > _LOST else None,
        "too_small" if is_small else None,
        quality.light_fault,
        "blurred" if is_blurred else None,
        "turned_away" if abs(pose.yaw) > _YAW or abs(pose.pitch) > _PITCH else None,
    ]
    return [each for each in found if each is not None]
