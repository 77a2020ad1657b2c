"""Four ratios that describe a face's proportions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from deployments.vision.landmarks import complex_points, eye_centres
from semblance.types import Geometry

_FACE_PER_BROW_TO_CHIN: Final = 1.5
"""No landmark marks the hairline. By the neoclassical canon of thirds, hairline to brow, brow to nose base
and nose base to chin are equal (Farkas et al., Plastic and Reconstructive Surgery 75:328, 1985), so that the
whole face is one and a half times the part that the landmarks span."""

_LEAST: Final = 1e-9
"""Pixels up to which a distance counts as 0."""

_WINGS_PER_BASE: Final = 1.5
"""Points 31 and 35 mark where the nostrils meet the lip; the wings reach further. They lie .165 face widths
apart on average here, where anthropometry has .25 for the wings (al-al 35 mm, zy-zy 137 mm; Farkas,
Anthropometry of the Head and Face, 1994)."""


def face_geometry(landmarks: NDArray[np.float32]) -> list[Geometry]:
    """Proportions of faces, measured in each face's own frame, x along the line through its eyes' centres.

    landmarks: float32 [N, 68, 2]. Returns N geometries, dimensionless; of level portraits about:

    - face_width_height_ratio .73: jaw ends (0, 16) over face height, which is 1.5 times the distance from the
      inner brows (21, 22) to the chin (8);
    - eye_spacing_face_width .43: centre to centre of the eyes;
    - jawline_width_face_width .67: the jaw below the mouth (5, 11);
    - nose_width_face_width .25: 1.5 times the nose base (31, 35).

    They do not change with position, size, roll or mirroring; yaw shortens widths and pitch the height.
    A degenerate face, whose eyes or jaw ends coincide, has ratios of 0.
    """
    left, right = (complex_points(centre) for centre in eye_centres(landmarks))
    along = right - left
    eyes = np.abs(along)
    unit = np.divide(along, eyes, out=np.zeros_like(along), where=eyes > _LEAST)
    # Turned so that x runs along the eyes; y is down the face, as in the image.
    turned = complex_points(landmarks) * np.conj(unit)[:, None]
    x, y = turned.real, turned.imag
    width = np.abs(x[:, 16] - x[:, 0])
    height = _FACE_PER_BROW_TO_CHIN * np.abs(y[:, 8] - (y[:, 21] + y[:, 22]) / 2)
    ratios = np.stack(
        [
            _ratio(width, height),
            _ratio(eyes, width),
            _ratio(np.abs(x[:, 11] - x[:, 5]), width),
            _ratio(_WINGS_PER_BASE * np.abs(x[:, 35] - x[:, 31]), width),
        ],
        axis=1,
    )
    return [Geometry(float(a), float(b), float(c), float(d)) for a, b, c, d in ratios]


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > _LEAST)
