"""How alike two faces are: six factors and their weighted sum, vectorised.

The same rules are SQL in the database (`embedding_factor` … `match_score`, and the views `face_traits` and
`celebrity_traits`, which complete what is missing); a property test holds the two equal to 1e-6. The rules
are the product's own, not taken from a publication; only the colour distance is a standard, CIE76.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semblance.types import EMBEDDING_SIZE, EMOTIONS
from semblance.weights import FACTORS, Weights

Floats: TypeAlias = NDArray[np.floating[Any]]

AGE_FACTORS = ((2, 1.0), (5, 0.9), (10, 0.7))
"""Largest gap in years and the factor up to it."""
FAR_AGE_FACTOR = 0.5
OTHER_EXPRESSION_FACTOR = 0.6
SKIN_TONE_SCALE = 100.0
"""CIE76 distance at which two skin tones have nothing in common."""

RATIOS = (
    "face_width_height_ratio",
    "eye_spacing_face_width",
    "jawline_width_face_width",
    "nose_width_face_width",
)
DEFAULT_RATIOS = (0.75, 0.42, 0.68, 0.25)
MAX_RATIO = 10.0
"""A ratio outside 0..10 is no face's and counts as missing."""
DEFAULT_AGE = 25
DEFAULT_SYMMETRY = 0.75
DEFAULT_LAB = (65.0, 10.0, 20.0)
LAB_BOUNDS = ((0.0, 100.0), (-200.0, 200.0), (-200.0, 200.0))
"""A value outside is no colour's and counts as missing."""
DEFAULT_EXPRESSION = "neutral"

MIN_QUALITY = 0.6
"""Least quality of a face that others are matched with."""
BEST = 20
"""Most matches of one face that one search keeps, of each kind."""

_MAX_AGE = 150
AGE_TABLE = np.array([
    next((factor for limit, factor in AGE_FACTORS if gap <= limit), FAR_AGE_FACTOR)
    for gap in range(_MAX_AGE + 1)
])  # fmt: skip
"""The age factor by the gap in years, 0..150."""
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Traits:
    """What the factors compare, of N faces, complete. All float arrays have one dtype, in which the factors
    are computed: float64, or float32 where a millionth more or less does not matter.

    embedding: [N, 512], unit length, or zeros where there is none. geometry: [4, N], in the order of RATIOS.
    age: integer years [N], 0..150. symmetry: [N]. skin_tone: CIELAB, [3, N]. expression: int8 [N], place in
    EMOTIONS.
    """

    embedding: Floats
    geometry: Floats
    age: NDArray[np.int16]
    symmetry: Floats
    skin_tone: Floats
    expression: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.age)

    @classmethod
    def empty(cls, size: int, dtype: type[np.floating[Any]]) -> Traits:
        """Room for `size` faces, all zeros."""
        return cls(
            embedding=np.zeros((size, EMBEDDING_SIZE), dtype),
            geometry=np.zeros((len(RATIOS), size), dtype),
            age=np.zeros(size, np.int16),
            symmetry=np.zeros(size, dtype),
            skin_tone=np.zeros((3, size), dtype),
            expression=np.zeros(size, np.int8),
        )

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], dtype: type[np.floating[Any]] = np.float64) -> Traits:
        """Traits of rows with the columns of the tables of faces and celebrities; what is missing in a row,
        or null, gets its default."""
        vectors = [_or(row.get("embedding"), np.zeros(EMBEDDING_SIZE)) for row in rows]
        return cls(
            embedding=unit(np.array(vectors, dtype).reshape(-1, EMBEDDING_SIZE)),
            geometry=np.array([_ratios(row.get("geometry_ratios")) for row in rows], dtype).reshape(-1, 4).T,
            age=np.array([_or(row.get("age"), DEFAULT_AGE) for row in rows], np.int16),
            symmetry=np.array([_or(row.get("symmetry_score"), DEFAULT_SYMMETRY) for row in rows], dtype),
            skin_tone=np.array([_lab(row.get("skin_tone_lab")) for row in rows], dtype).reshape(-1, 3).T,
            expression=np.array(
                [EMOTIONS.index(_or(row.get("expression"), DEFAULT_EXPRESSION)) for row in rows], np.int8
            ),
        )


def unit(vectors: Floats) -> Floats:
    """Vectors [N, D] at length 1; those without a direction become zeros."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    units: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > _TINY)
    return units


def factors(a: Traits, b: Traits) -> Floats:
    """The six factors of every face of `a` with every face of `b`: [6, len(a), len(b)], each 0..1."""
    found = np.empty((len(FACTORS), len(a), len(b)), a.symmetry.dtype)
    np.clip(a.embedding @ b.embedding.T, 0, 1, out=found[0])
    np.subtract(1, np.minimum(_distance(a.geometry, b.geometry), 1), out=found[1])
    found[2] = AGE_TABLE.astype(found.dtype)[np.abs(a.age[:, None] - b.age)]
    np.multiply(a.symmetry[:, None] + b.symmetry, 0.5, out=found[3])
    np.subtract(1, np.minimum(_distance(a.skin_tone, b.skin_tone) / SKIN_TONE_SCALE, 1), out=found[4])
    found[5] = np.where(a.expression[:, None] == b.expression, 1, OTHER_EXPRESSION_FACTOR)
    return found


def pair_factors(a: Traits, b: Traits) -> Floats:
    """The six factors, float64 [6, N], of the first face of `a` with the first of `b`, and so on."""
    found = np.empty((len(FACTORS), len(a)))
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


def _distance(a: Floats, b: Floats) -> Floats:
    """Euclidean distances of the columns of [D, A] and [D, B]: [A, B]."""
    total = np.square(a[0][:, None] - b[0])
    for one, other in zip(a[1:], b[1:], strict=True):
        total += np.square(one[:, None] - other)
    root: Floats = np.sqrt(total, out=total)
    return root


def _doubles(values: Floats) -> NDArray[np.float64]:
    doubles: NDArray[np.float64] = np.asarray(values, np.float64)
    return doubles


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _ratios(given: Mapping[str, object] | None) -> Iterable[float]:
    return [
        _bounded((given or {}).get(name), (0, MAX_RATIO), default)
        for name, default in zip(RATIOS, DEFAULT_RATIOS, strict=True)
    ]


def _lab(given: Sequence[float | None] | None) -> Iterable[float]:
    values = (None, None, None) if given is None else given
    return [_bounded(*parts) for parts in zip(values, LAB_BOUNDS, DEFAULT_LAB, strict=True)]


def _bounded(value: object, bounds: tuple[float, float], default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return float(value) if bounds[0] <= value <= bounds[1] else default
