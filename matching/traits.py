"""What the factors compare, in arrays of many faces, and the defaults of missing values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from semblance.types import EMBEDDING_SIZE, EMOTIONS

Floats: TypeAlias = NDArray[np.floating[Any]]

Places: TypeAlias = NDArray[np.intp]
"""Where faces are in arrays of faces."""

COLUMNS = ("embedding", "geometry_ratios", "age", "symmetry_score", "skin_tone_lab", "expression")
"""The columns of `faces` and `celebrities` that the factors compare."""

RATIOS = (
    "face_width_height_ratio",
    "eye_spacing_face_width",
    "jawline_width_face_width",
    "nose_width_face_width",
)
DEFAULT_RATIOS = (0.75, 0.42, 0.68, 0.25)
MAX_RATIO = 10.0
"""No face has a ratio outside 0..10; one that is counts as missing."""
DEFAULT_AGE = 25
DEFAULT_SYMMETRY = 0.75
DEFAULT_LAB = (65.0, 10.0, 20.0)
LAB_BOUNDS = ((0.0, 100.0), (-200.0, 200.0), (-200.0, 200.0))
"""No colour has a value outside these; one that is counts as missing."""
DEFAULT_EXPRESSION = "neutral"

_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, slots=True)
class Traits:
    """What the factors compare, of N faces, complete. All float arrays have one dtype, float32 or float64.

    embedding: [N, 512], unit length, or zeros where it is missing. geometry: [4, N], in the order of RATIOS.
    age: integer years [N], 0..150. symmetry: [N], 0..1. skin_tone: CIELAB, [3, N]. expression: int8 [N],
    place in EMOTIONS.

    The ratios of a face are side by side in memory, and so is its skin tone: a few faces out of many take one
    line of the processor's cache each.
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
    def empty(cls, size: int, dimensions: int = EMBEDDING_SIZE) -> Traits:
        """Room for `size` faces, all zeros, float32."""
        return cls(
            embedding=np.zeros((size, dimensions), np.float32),
            geometry=np.zeros((size, len(RATIOS)), np.float32).T,
            age=np.zeros(size, np.int16),
            symmetry=np.zeros(size, np.float32),
            skin_tone=np.zeros((size, 3), np.float32).T,
            expression=np.zeros(size, np.int8),
        )

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], dtype: type[np.floating[Any]] = np.float64) -> Traits:
        """The traits of rows with the columns of `faces` or `celebrities`. A value that is missing in a row,
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

    @classmethod
    def joined(cls, parts: Sequence[Traits]) -> Traits:
        """All faces of some parts, at least one part, in order."""
        return cls(
            embedding=np.concatenate([part.embedding for part in parts]),
            geometry=np.concatenate([part.geometry for part in parts], axis=1),
            age=np.concatenate([part.age for part in parts]),
            symmetry=np.concatenate([part.symmetry for part in parts]),
            skin_tone=np.concatenate([part.skin_tone for part in parts], axis=1),
            expression=np.concatenate([part.expression for part in parts]),
        )

    def take(self, index: slice | Places) -> Traits:
        """The faces at these places; for a slice without copying."""
        return Traits(
            embedding=self.embedding[index],
            geometry=self.geometry.T[index].T,
            age=self.age[index],
            symmetry=self.symmetry[index],
            skin_tone=self.skin_tone.T[index].T,
            expression=self.expression[index],
        )

    def with_embedding(self, embedding: Floats) -> Traits:
        """The same faces with other embeddings."""
        return replace(self, embedding=embedding)

    def put(self, places: Places, other: Traits) -> None:
        """Overwrite the faces at these places with as many others."""
        self.embedding[places] = other.embedding
        self.geometry[:, places] = other.geometry
        self.age[places] = other.age
        self.symmetry[places] = other.symmetry
        self.skin_tone[:, places] = other.skin_tone
        self.expression[places] = other.expression


def unit(vectors: Floats) -> Floats:
    """Vectors [N, D] scaled to length 1; those without a direction become zeros."""
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    units: Floats = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > _TINY)
    return units


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
