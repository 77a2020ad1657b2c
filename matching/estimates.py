"""Scores of many pairs with a bound on their error: the first pass of a ranking.

Integer products give the cosines, and a table the factors of age and expression. The two distances come last,
and only for the pairs that may be among the best if both are zero: with usual weights one of a hundred. The
exact scores are in `matching.scoring`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from matching.quantized import Codes, QuantizedTraits, products
from matching.scoring import AGE_TABLE, MAX_AGE, OTHER_EXPRESSION_FACTOR, SKIN_TONE_SCALE
from matching.traits import Floats, Places, Traits
from semblance.types import EMOTIONS
from semblance.weights import Weights

MARGIN = 1e-3
"""Bound on the error of an estimate apart from that of the cosine. The largest seen over random faces is
2e-4, from the cancellation in the squared colour distance (a test holds it)."""

RARE = 16
"""If fewer than one pair of so many may be likely, distances are computed for these alone."""

_AGES = np.arange(MAX_AGE + 1)
_AGE_FACTORS = AGE_TABLE[np.abs(_AGES[:, None] - _AGES)]
"""By the ages of both faces."""

_EXPRESSION_FACTORS = np.where(np.eye(len(EMOTIONS), dtype=bool), 1, OTHER_EXPRESSION_FACTOR)
"""By the expressions of both faces."""


@dataclass(frozen=True, eq=False)
class ProbeTerms:
    """What P probes bring into the estimates, all float32 but the codes.

    codes: int8 [P, D]. scale: [P, 1], with the weight. symmetry: [P, 1]. table: the factors of age and
    expression by those of the target, [P, kinds]. geometry: [P, 6] and skin_tone: [P, 5], whose products with
    those of targets are squared distances. far: the most that these two distances may subtract, [2].
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    symmetry: NDArray[np.float32]
    table: NDArray[np.float32]
    geometry: NDArray[np.float32]
    skin_tone: NDArray[np.float32]
    far: NDArray[np.float32]

    @cached_property
    def by_kind(self) -> NDArray[np.float32]:
        """The table by kinds, [kinds, P]."""
        return np.ascontiguousarray(self.table.T)


@dataclass(frozen=True, slots=True, eq=False)
class TargetTerms:
    """What N targets bring into the estimates, all float32 but the codes and kinds.

    codes: int8 [N, D]. scale: [N]. kind: place in the table of a probe, int64 [N]. constant: what does not
    depend on the probe, [N]. geometry: [6, N]. skin_tone: [5, N].
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    kind: NDArray[np.int64]
    constant: NDArray[np.float32]
    geometry: NDArray[np.float32]
    skin_tone: NDArray[np.float32]


LikelyPairs: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]
"""Places of probes and targets, and their estimates, [M]."""


class PairScreen(Protocol):
    """Finds the likely pairs of many probes, on a device or faster than by `ProbeSide` and `TargetSide`."""

    @property
    def most(self) -> int:
        """Most targets at once."""

    def load(self, targets: TargetTerms) -> Callable[[ProbeTerms, NDArray[np.float32]], LikelyPairs]:
        """Take targets, onto the device if there is one. Returns a function of probes and of the least
        estimates that count for each, float32 [P, 1], which returns the pairs that reach them."""


class ProbeSide:
    """What some probes bring into the products and tables."""

    def __init__(self, probes: Traits, weights: Weights) -> None:
        self.weights = weights
        self._probes = probes
        self._codes = Codes.of(probes.embedding)
        self._scale = (weights.embedding * self._codes.scale)[:, None]
        self._geometry = _left(probes.geometry, weights.geometry)
        self._skin_tone = _left(probes.skin_tone, weights.skin_tone / SKIN_TONE_SCALE)
        self._symmetry = (weights.symmetry / 2 * probes.symmetry).astype(np.float32)[:, None]
        # The table has a row for each pair of age and expression among the probes: for one probe, one row.
        present, self._kind = np.unique(kinds(probes), return_inverse=True)
        ages, expressions = np.divmod(present, len(EMOTIONS))
        table = (
            weights.age * _AGE_FACTORS[ages][:, :, None]
            + weights.expression * _EXPRESSION_FACTORS[expressions][:, None, :]
        )
        self.table = table.reshape(len(present), len(_AGES) * len(EMOTIONS)).astype(np.float32)
        # Used again for each block: memory that is new to the process costs as much as the sums in it.
        self._buffers = np.empty((2, 0), np.float32)

    def margin(self, rows: slice, targets: Codes) -> NDArray[np.float32]:
        """Bound on the error of the estimates of these probes with any of the targets, float32 [P]."""
        error, most = self._codes.error[rows], targets.largest_error
        bound: NDArray[np.float32] = (self.weights.embedding * ((1 + error) * most + error) + MARGIN).astype(
            np.float32
        )
        return bound

    def terms(self, rows: slice, dimensions: int) -> ProbeTerms:
        """What a PairScreen needs of these probes. dimensions: D of the targets' codes."""
        codes = np.zeros((rows.stop - rows.start, dimensions), np.int8)
        shared = min(dimensions, self._codes.dimensions)
        codes[:, :shared] = self._codes.values[rows, :shared]
        return ProbeTerms(
            codes=codes,
            scale=self._scale[rows].astype(np.float32),
            symmetry=self._symmetry[rows],
            table=self.table[self._kind[rows]],
            geometry=self._geometry[rows],
            skin_tone=self._skin_tone[rows],
            far=np.array([self.weights.geometry, self.weights.skin_tone], np.float32),
        )

    def without_distances(self, rows: slice, targets: TargetSide) -> NDArray[np.float32]:
        """Scores of these probes with all targets as if geometry and skin tone were the same, float32 [P, N].

        The array is overwritten by the next call.
        """
        codes = self._codes.take(rows)
        total, part = self._arrays(len(codes), len(targets))
        np.multiply(targets.products(codes), targets.scale, out=total, dtype=np.float32, casting="unsafe")
        np.multiply(total, self._scale[rows], out=total)
        np.maximum(total, targets.zero, out=total)
        if len(targets.table) == 1:
            part = targets.table
        else:
            # All places are within the table; `clip` spares looking for others, and a buffer.
            np.take(targets.table, self._kind[rows], axis=0, out=part, mode="clip")
        np.add(total, part, out=total)
        np.add(total, self._symmetry[rows], out=total)
        return total

    def subtract_distances(self, rows: slice, targets: TargetSide, total: NDArray[np.float32]) -> None:
        """Subtract from what `without_distances` returned, for all pairs."""
        _, part = self._arrays(*total.shape)
        for weight, probes, columns, far in (
            (self.weights.geometry, self._geometry, targets.geometry, targets.far_geometry),
            (self.weights.skin_tone, self._skin_tone, targets.skin_tone, targets.far_skin_tone),
        ):
            if weight:
                np.matmul(probes[rows], columns, out=part)
                np.maximum(part, targets.zero, out=part)
                np.sqrt(part, out=part)
                np.minimum(part, far, out=part)
                np.subtract(total, part, out=total)

    def distances(self, probe: Places, targets: TargetSide, target: Places) -> NDArray[np.float32]:
        """What to subtract for these pairs alone, float32 [M]."""
        total = np.zeros(len(probe), np.float32)
        for weight, scale, probes, others in (
            (self.weights.geometry, 1, self._probes.geometry, targets.faces.geometry),
            (self.weights.skin_tone, SKIN_TONE_SCALE, self._probes.skin_tone, targets.faces.skin_tone),
        ):
            # Rows of what is transposed, as they are in memory: `take` of columns would copy all first.
            mine = probes if probes.shape[1] == 1 else probes.T.take(probe, axis=0).T
            gap = np.subtract(mine, others.T.take(target, axis=0).T, order="C").astype(np.float32, copy=False)
            length = np.sqrt(np.einsum("dn,dn->n", gap, gap))
            total += np.float32(weight) * np.minimum(length / np.float32(scale), np.float32(1))
        return total

    def _arrays(self, probes: int, targets: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Two arrays [P, N], neither of them cleared."""
        size = probes * targets
        if self._buffers.shape[1] < size:
            self._buffers = np.empty((2, size), np.float32)
        total, part = self._buffers[:, :size].reshape(2, probes, targets)
        return total, part


class TargetSide:
    """What the targets of a block bring into the products and tables."""

    def __init__(self, targets: QuantizedTraits, probes: ProbeSide) -> None:
        self._weights = weights = probes.weights
        self.faces = faces = targets.others
        self.products = products(targets.codes)
        self.scale = targets.codes.scale
        self.table = np.take(probes.table, kinds(faces), axis=1, mode="clip")
        self.table += _constant(faces, weights)

    def __len__(self) -> int:
        return len(self.scale)

    @cached_property
    def geometry(self) -> NDArray[np.float32]:
        return _right(self.faces.geometry)

    @cached_property
    def skin_tone(self) -> NDArray[np.float32]:
        return _right(self.faces.skin_tone)

    # Rows, because NumPy compares arrays with rows three times as fast as with one number.

    @cached_property
    def zero(self) -> NDArray[np.float32]:
        return np.zeros(len(self), np.float32)

    @cached_property
    def far_geometry(self) -> NDArray[np.float32]:
        return np.full(len(self), self._weights.geometry, np.float32)

    @cached_property
    def far_skin_tone(self) -> NDArray[np.float32]:
        return np.full(len(self), self._weights.skin_tone, np.float32)


def target_terms(targets: QuantizedTraits, weights: Weights) -> TargetTerms:
    """What a PairScreen needs of these targets."""
    faces = targets.others
    return TargetTerms(
        codes=targets.codes.values,
        scale=targets.codes.scale,
        kind=kinds(faces).astype(np.int64),
        constant=_constant(faces, weights),
        geometry=_right(faces.geometry),
        skin_tone=_right(faces.skin_tone),
    )


def _constant(faces: Traits, weights: Weights) -> NDArray[np.float32]:
    """What does not depend on the probe: half of the symmetry, and the ones from which the two distances are
    subtracted."""
    constant = weights.symmetry / 2 * faces.symmetry + (weights.geometry + weights.skin_tone)
    return constant.astype(np.float32, copy=False)


def kinds(faces: Traits) -> NDArray[np.int16]:
    """Age and expression of each face as one number."""
    return faces.age * np.int16(len(EMOTIONS)) + faces.expression


def _left(values: Floats, weight: float) -> NDArray[np.float32]:
    """Rows whose product with a column of `_right` is the square of the weighted distance: [N, D + 2]."""
    values = np.asarray(values, np.float64)
    squares = np.square(values).sum(axis=0)
    rows = weight**2 * np.vstack([-2 * values, squares, np.ones_like(squares)]).T
    return np.ascontiguousarray(rows, np.float32)


def _right(values: Floats) -> NDArray[np.float32]:
    """Columns for the rows of `_left`: [D + 2, N]."""
    columns = np.empty((len(values) + 2, values.shape[1]), np.float32)
    columns[:-2] = values
    columns[-2] = 1
    np.einsum("dn,dn->n", values, values, out=columns[-1])
    return columns
