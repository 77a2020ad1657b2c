"""Scores of many pairs in float32, with a bound on their error: the first pass of a ranking.

Matrix products give the cosines and the squared distances, tables the rest, in passes over arrays that stay
in the cache. The exact scores are in `matching.scoring`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matching.scoring import AGE_TABLE, MAX_AGE, OTHER_EXPRESSION_FACTOR, SKIN_TONE_SCALE
from matching.traits import Floats, Traits
from semblance.types import EMOTIONS
from semblance.weights import Weights

MARGIN = 1e-3
"""Bound on the error of an estimate. The largest seen over random faces is 2e-4, from the cancellation in the
squared colour distance (a test holds it)."""

_AGES = np.arange(MAX_AGE + 1)
_AGE_FACTORS = AGE_TABLE[np.abs(_AGES[:, None] - _AGES)]
"""By the ages of both faces."""

_EXPRESSION_FACTORS = np.where(np.eye(len(EMOTIONS), dtype=bool), 1, OTHER_EXPRESSION_FACTOR)
"""By the expressions of both faces."""


class ProbeSide:
    """What some probes bring into the products and tables."""

    def __init__(self, probes: Traits, weights: Weights) -> None:
        self.weights = weights
        self._embedding = np.ascontiguousarray(weights.embedding * probes.embedding, np.float32)
        self._geometry = _left(probes.geometry, weights.geometry)
        self._skin_tone = _left(probes.skin_tone, weights.skin_tone / SKIN_TONE_SCALE)
        self._symmetry = (weights.symmetry / 2 * probes.symmetry).astype(np.float32)[:, None]
        # Tables have a row for each age and each expression among the probes: for one probe, one row.
        ages, self._age = np.unique(np.minimum(probes.age, MAX_AGE), return_inverse=True)
        expressions, self._expression = np.unique(probes.expression, return_inverse=True)
        self.ages = (weights.age * _AGE_FACTORS[ages]).astype(np.float32)
        self.expressions = (weights.expression * _EXPRESSION_FACTORS[expressions]).astype(np.float32)
        # Used again for each block: memory that is new to the process costs as much as the sums in it.
        self._buffers = np.empty((2, 0), np.float32)

    def estimates(self, rows: slice, targets: TargetSide) -> NDArray[np.float32]:
        """Scores of these probes with all targets, float32 [P, N], off by at most MARGIN.

        The array is overwritten by the next call.
        """
        left = self._embedding[rows]
        total, part = self._arrays(len(left), targets.embedding.shape[1])
        np.matmul(left, targets.embedding, out=total)
        np.maximum(total, targets.zero, out=total)
        for probes, others, far in (
            (self._geometry, targets.geometry, targets.far_geometry),
            (self._skin_tone, targets.skin_tone, targets.far_skin_tone),
        ):
            np.matmul(probes[rows], others, out=part)
            np.maximum(part, targets.zero, out=part)
            np.sqrt(part, out=part)
            np.minimum(part, far, out=part)
            np.subtract(total, part, out=total)
        for table, places in ((targets.age, self._age), (targets.expression, self._expression)):
            # All places are within the table; `clip` spares looking for others, and a buffer.
            np.take(table, places[rows], axis=0, out=part, mode="clip")
            np.add(total, part, out=total)
        np.add(total, self._symmetry[rows], out=total)
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

    def __init__(self, targets: Traits, probes: ProbeSide) -> None:
        weights = probes.weights
        # What does not depend on the probe is added once: half of the symmetry, and the ones from which the
        # two distances are subtracted.
        constant = weights.symmetry / 2 * targets.symmetry + (weights.geometry + weights.skin_tone)
        self.embedding = np.asarray(targets.embedding, np.float32).T
        self.geometry = _right(targets.geometry)
        self.skin_tone = _right(targets.skin_tone)
        self.age = np.take(probes.ages, targets.age, axis=1, mode="clip")
        self.expression = np.take(probes.expressions, targets.expression, axis=1, mode="clip")
        self.expression += constant.astype(np.float32, copy=False)
        # Rows, because NumPy compares arrays with rows three times as fast as with one number.
        self.zero, self.far_geometry, self.far_skin_tone = (
            np.full(len(targets), value, np.float32) for value in (0, weights.geometry, weights.skin_tone)
        )


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
