"""Is a face sharp and lit well enough to be matched? Measured on portraits, all of one size."""

from __future__ import annotations

import math
from operator import itemgetter
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from semblance.types import Image, LightFault, Quality

_SHARPNESS_HALF: Final = 75.0
"""Variance of the Laplacian of an 8-bit 112 px portrait that scores .5. On real photos: 150 to 1900 for
portraits (the least for faces of 100 px out of old press photos), 27 for one blurred by motion, 15 to 45 for
faces of 15 to 30 px, and 7 to 17 after a Gaussian blur of 2 px."""

_DARK: Final = (8.0, 35.0)
"""Mean lightness L* that scores 0 and from which on it scores 1; 35 leaves room for the darkest skin."""

_BRIGHT: Final = (82.0, 98.0)
_FLAT: Final = (1.0, 6.0)
_ONE_SIDED: Final = (20.0, 60.0)
"""Difference of mean L* between the halves: up to 20 is ordinary modelling light, at 60 one half is black."""

_CLIPPED: Final = (0.15, 0.65)
"""Share of pixels without detail, crushed to black or blown out to white."""

_ENOUGH_LIGHT: Final = 0.6
"""Illumination below which the photo has a fault of light: what matching requires of the overall score."""


_WINDOW: Final = slice(14, 101), slice(23, 90)
"""The part of a portrait that is measured: the inner face and a pixel around it for the Laplacian."""


def _inner_face(columns: slice = slice(None)) -> NDArray[np.uint8]:
    """The ellipse of a portrait that holds brows to lips and keeps out hair and background, as far as it lies
    in these columns; of _WINDOW."""
    ellipse, mask = (np.zeros((112, 112), np.uint8) for _ in range(2))
    cv2.ellipse(ellipse, (56, 57), (32, 42), 0, 0, 360, 255, cv2.FILLED)
    mask[:, columns] = ellipse[:, columns]
    return np.ascontiguousarray(mask[_WINDOW])


_MASK: Final = _inner_face()
_LEFT: Final = _inner_face(slice(56))
_RIGHT: Final = _inner_face(slice(56, None))
_INSIDE: Final = np.flatnonzero(_MASK)


def measure_quality(portraits: NDArray[np.uint8]) -> list[Quality]:
    """Fitness of faces for matching.

    portraits: uint8 RGB [N, 112, 112, 3]. Returns N qualities, each 0..1:

    - blur_score: v / (v + 75), v the variance of the Laplacian of the grey portrait within the inner face
      (Pech-Pacheco et al., ICPR 2000). As the size is fixed, faces of few pixels count as
      blurred, and to the nets they are. Darkness lowers it too, because it measures contrast.
    - illumination: a product of five ramps from 1 to 0: too dark, too bright, too flat (spread of L*), lit
      from one side only, clipped.
    - overall: the geometric mean of the two, so that one cannot make up for the other. Portraits that people
      would call good have .7 or more; matching requires .6.
    - light_fault: the lowest of the five ramps where illumination is below .6.
    """
    return [_measure(portrait) for portrait in portraits]


def _measure(portrait: Image) -> Quality:
    portrait = portrait[_WINDOW]
    grey = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S), mask=_MASK)
    variance = float(deviation[0, 0]) ** 2
    blur_score = variance / (variance + _SHARPNESS_HALF)

    # 8-bit Lab holds L* in steps of 100/255, fine enough for a mean.
    lightness = cv2.extractChannel(cv2.cvtColor(portrait, cv2.COLOR_RGB2LAB), 0)
    mean, spread = (float(v[0, 0]) / 2.55 for v in cv2.meanStdDev(lightness, mask=_MASK))
    sides = abs(cv2.mean(lightness, mask=_LEFT)[0] - cv2.mean(lightness, mask=_RIGHT)[0]) / 2.55
    inside = grey.reshape(-1).take(_INSIDE)
    clipped = np.count_nonzero((inside < 8) | (inside > 250)) / len(_INSIDE)
    ramps: dict[LightFault, float] = {
        "too_dark": _ramp(mean, *_DARK),
        "too_bright": 1.0 - _ramp(mean, *_BRIGHT),
        "low_contrast": _ramp(spread, *_FLAT),
        "uneven_light": 1.0 - _ramp(sides, *_ONE_SIDED),
        "harsh_light": 1.0 - _ramp(clipped, *_CLIPPED),
    }
    illumination = math.prod(ramps.values())
    return Quality(
        blur_score=blur_score,
        illumination=illumination,
        overall=(blur_score * illumination) ** 0.5,
        light_fault=None if illumination >= _ENOUGH_LIGHT else min(ramps.items(), key=itemgetter(1))[0],
    )


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
