"""How alike two faces are: six factors and their weighted sum, in double precision.

The database computes the same in SQL (`embedding_factor` … `match_score`, and the views `face_traits` and
`celebrity_traits`, which replace missing values); a property test holds the two equal to 1e-6. The rules are
the product's own, not taken from a publication; only the colour distance is a standard, CIE76.
"""

from __future__ import annotations

from math import floor

import numpy as np
from numpy.typing import NDArray

from matching.traits import Floats, Traits
from semblance.weights import FACTORS, Weights

AGE_FACTORS = ((2, 1.0), (5, 0.9), (10, 0.7))
"""Largest gap in years and the factor up to it."""
FAR_AGE_FACTOR = 0.5
OTHER_EXPRESSION_FACTOR = 0.6
SKIN_TONE_SCALE = 100.0
"""CIE76 distance at which two skin tones have nothing in common."""

MIN_QUALITY = 0.6
"""Least quality of a face that others are matched with."""
BEST = 20
"""Most matches of one face that one search keeps, of each kind."""

MAX_AGE = 150
AGE_TABLE = np.array([
    next((factor for limit, factor in AGE_FACTORS if gap <= limit), FAR_AGE_FACTOR)
    for gap in range(MAX_AGE + 1)
])  # fmt: skip
"""The age factor by the gap in years, 0..MAX_AGE."""


def factors(a: Traits, b: Traits) -> NDArray[np.float64]:
    """The six factors of the first face of `a` with the first of `b`, and so on: [6, N], each 0..1.

    Either may be a single face, which is then compared with all of the other.
    """
    found = np.empty((len(FACTORS), len(b) if len(a) == 1 else len(a)))
    cosines = np.einsum("nd,nd->n", a.embedding, b.embedding, dtype=np.float64)
    np.clip(cosines, 0, 1, out=found[0])
    found[1] = 1 - np.minimum(np.linalg.norm(_doubles(a.geometry) - b.geometry, axis=0), 1)
    found[2] = AGE_TABLE[np.abs(a.age - b.age)]
    found[3] = (_doubles(a.symmetry) + b.symmetry) / 2
    distances = np.linalg.norm(_doubles(a.skin_tone) - b.skin_tone, axis=0)
    found[4] = 1 - np.minimum(distances / SKIN_TONE_SCALE, 1)
    found[5] = np.where(a.expression == b.expression, 1, OTHER_EXPRESSION_FACTOR)
    return found


def score(found: Floats, weights: Weights) -> Floats:
    """The weighted sum of factors [6, …], clamped to 0..1."""
    sums: Floats = np.tensordot(np.array(weights.as_tuple(), found.dtype), found, axes=1)
    return np.clip(sums, 0, 1, out=sums)


def percentage(similarity_score: float) -> int:
    """A score as people read it, 0..100, half up."""
    return floor(100 * similarity_score + 0.5)


def _doubles(values: Floats) -> NDArray[np.float64]:
    doubles: NDArray[np.float64] = np.asarray(values, np.float64)
    return doubles
