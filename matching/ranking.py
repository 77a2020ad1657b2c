"""The best k of many targets for many probes by the full score, exactly, in bounded memory.

Blocks of pairs are scored in float32: matrix products give the cosines and the squared distances, tables the
rest, in passes over arrays that stay in the cache. What can be among the best k by a score that is off by no
more than MARGIN is a candidate, and only candidates are scored as `matching.scoring` defines it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matching.scoring import (
    AGE_TABLE,
    BEST,
    OTHER_EXPRESSION_FACTOR,
    SKIN_TONE_SCALE,
    Floats,
    Traits,
    pair_factors,
    score,
)
from semblance.types import EMOTIONS
from semblance.weights import FACTORS, Weights

MARGIN = 1e-3
"""Greatest error of a float32 score that still cannot cost a match. The largest seen over random faces is
2e-4, from the cancellation in the squared colour distance (a test holds it)."""

PROBE_BLOCK = 256
TARGET_BLOCK = 4096
"""Pairs of one pass: two float32 arrays of 4 MB, which a core's share of the cache about holds."""

_AGE_FACTORS = AGE_TABLE[np.abs(np.subtract.outer(np.arange(len(AGE_TABLE)), np.arange(len(AGE_TABLE))))]
"""By the ages of both."""

_DIGITS = 9
"""Of a score that count in comparisons; sums in another order differ in the sixteenth."""

CROWD = 2
"""Candidates of a block, in multiples of k a probe, from which on its own best k are found first."""


def take(traits: Traits, index: slice | NDArray[np.intp]) -> Traits:
    """The faces at these places."""
    return Traits(
        embedding=traits.embedding[index],
        geometry=traits.geometry[:, index],
        age=traits.age[index],
        symmetry=traits.symmetry[index],
        skin_tone=traits.skin_tone[:, index],
        expression=traits.expression[index],
    )


@dataclass(frozen=True, slots=True)
class Found:
    """Pairs, best first for each probe. probe, target: places, int64 [P]; score: [P]; factors: [6, P]."""

    probe: NDArray[np.int64]
    target: NDArray[np.int64]
    score: Floats
    factors: Floats

    def take(self, index: NDArray[np.intp]) -> Found:
        """The pairs at these places."""
        return Found(self.probe[index], self.target[index], self.score[index], self.factors[:, index])


def merged(parts: Sequence[Found], best: int = BEST) -> Found:
    """The best of each probe among what searches for it in different targets found."""
    nothing = np.empty(0, np.int64)
    everything = Found(
        probe=np.concatenate([nothing, *(part.probe for part in parts)]),
        target=np.concatenate([nothing, *(part.target for part in parts)]),
        score=np.concatenate([np.empty(0), *(part.score for part in parts)]),
        factors=np.concatenate([np.empty((len(FACTORS), 0)), *(part.factors for part in parts)], axis=1),
    )
    return _best(everything, best)


def _best(found: Found, best: int) -> Found:
    """Of each probe the best, ordered; ties go to the smaller place.

    The last digits of a score depend on where in an array it was computed, and must not part equal faces.
    """
    order = np.lexsort((found.target, -np.round(found.score, _DIGITS), found.probe))
    probes = found.probe[order]
    rank = np.arange(len(order)) - np.searchsorted(probes, probes)
    return found.take(order[rank < best])


def best_matches(
    probes: Traits, targets: Traits, weights: Weights, threshold: float, best: int = BEST
) -> Found:
    """The best targets of each probe among those that reach the threshold, by their places.

    Besides a block of scores it needs memory for some `best` candidates a probe.
    """
    search = _Search(probes, weights, threshold, best)
    for first in range(0, len(targets), TARGET_BLOCK):
        search.add(take(targets, slice(first, first + TARGET_BLOCK)), first)
    likely = search.candidates()
    factors = pair_factors(take(probes, likely.probe), take(targets, likely.target))
    found = Found(likely.probe, likely.target, score(factors, weights), factors)
    return _best(found.take(np.flatnonzero(found.score >= threshold)), best)


class _Search:
    """Candidates of each probe, over targets that come in blocks."""

    def __init__(self, probes: Traits, weights: Weights, threshold: float, best: int) -> None:
        self._weights = weights
        self._best = best
        # What scores less is none of a probe's best.
        self._floor = np.full(len(probes), threshold - MARGIN, np.float32)
        self._side = _ProbeSide(probes, weights)
        self._kept = [_Candidates.joined([]) for _ in range(0, len(probes), PROBE_BLOCK)]

    def add(self, targets: Traits, first: int) -> None:
        """Consider the targets whose places are `first`, `first` + 1, …"""
        side = _TargetSide(targets, self._weights)
        for number in range(len(self._kept)):
            rows = slice(number * PROBE_BLOCK, (number + 1) * PROBE_BLOCK)
            scores = self._side.scores(rows, side)
            likely = scores >= self._floor[rows, None]
            if np.count_nonzero(likely) > CROWD * self._best * len(scores):
                # Mostly the first block: what is not among the best k of this one need not be looked at.
                kth = np.partition(scores, -self._best, axis=1)[:, -self._best]
                self._floor[rows] = np.maximum(self._floor[rows], kth - 2 * MARGIN)
                likely = scores >= self._floor[rows, None]
            probe, target = np.divmod(np.flatnonzero(likely), likely.shape[1])
            if len(probe):
                new = _Candidates(probe + rows.start, target + first, scores[probe, target])
                self._kept[number] = self._best_of(_Candidates.joined([self._kept[number], new]))

    def candidates(self) -> _Candidates:
        """All that may be among the best."""
        return _Candidates.joined(self._kept)

    def _best_of(self, candidates: _Candidates) -> _Candidates:
        """Without those that k others of their probe are surely better than."""
        order = np.lexsort((-candidates.estimate, candidates.probe))
        probes, begins, counts = np.unique(candidates.probe[order], return_index=True, return_counts=True)
        full = counts >= self._best
        last = order[begins[full] + self._best - 1]
        who = probes[full]
        self._floor[who] = np.maximum(self._floor[who], candidates.estimate[last] - 2 * MARGIN)
        return candidates.take(np.flatnonzero(candidates.estimate >= self._floor[candidates.probe]))


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Pairs that may be among the best, by places, and their float32 scores."""

    probe: NDArray[np.intp]
    target: NDArray[np.intp]
    estimate: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: list[_Candidates]) -> _Candidates:
        nothing = np.empty(0, np.intp)
        return cls(
            np.concatenate([nothing, *(part.probe for part in parts)]),
            np.concatenate([nothing, *(part.target for part in parts)]),
            np.concatenate([np.empty(0, np.float32), *(part.estimate for part in parts)]),
        )

    def take(self, index: NDArray[np.intp]) -> _Candidates:
        return _Candidates(self.probe[index], self.target[index], self.estimate[index])


class _TargetSide:
    """What the targets of a block bring into the products and tables, float32."""

    def __init__(self, targets: Traits, weights: Weights) -> None:
        same = np.arange(len(EMOTIONS))[:, None] == targets.expression
        expression = weights.expression * np.where(same, 1, OTHER_EXPRESSION_FACTOR)
        # What does not depend on the probe is added once: half of the symmetry, and the ones from which the
        # two distances are subtracted.
        constant = weights.symmetry / 2 * targets.symmetry + weights.geometry + weights.skin_tone
        ages = (weights.age * _AGE_FACTORS).astype(np.float32)
        self.embedding = np.asarray(targets.embedding, np.float32).T
        self.age = np.take(ages, np.minimum(targets.age, len(AGE_TABLE) - 1), axis=1)
        self.expression = (expression + constant).astype(np.float32)
        self.geometry = _right(weights.geometry * targets.geometry)
        self.skin_tone = _right(weights.skin_tone / SKIN_TONE_SCALE * targets.skin_tone)
        # Rows, because NumPy compares arrays with rows three times as fast as with one number.
        self.zero, self.far_geometry, self.far_skin_tone = (
            np.full(len(targets), value, np.float32) for value in (0, weights.geometry, weights.skin_tone)
        )


class _ProbeSide:
    """The same of the probes, and the scores of a block."""

    def __init__(self, probes: Traits, weights: Weights) -> None:
        self._embedding = np.ascontiguousarray(weights.embedding * probes.embedding, np.float32)
        self._age = np.minimum(probes.age, len(AGE_TABLE) - 1)
        self._expression = probes.expression
        self._symmetry = (weights.symmetry / 2 * probes.symmetry).astype(np.float32)
        self._geometry = _left(weights.geometry * probes.geometry)
        self._skin_tone = _left(weights.skin_tone / SKIN_TONE_SCALE * probes.skin_tone)
        # Used again for each block: memory that is new to the process costs as much as the sums in it.
        self._total, self._part = np.empty((2, PROBE_BLOCK * TARGET_BLOCK), np.float32)

    def scores(self, rows: slice, targets: _TargetSide) -> NDArray[np.float32]:
        """Scores of these probes with all targets, float32, off by at most MARGIN, until the next call."""
        left = self._embedding[rows]
        shape = len(left), targets.embedding.shape[1]
        total, part = (array[: shape[0] * shape[1]].reshape(shape) for array in (self._total, self._part))
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
        np.add(total, self._symmetry[rows, None], out=total)
        return total


def _left(values: Floats) -> NDArray[np.float32]:
    """Rows whose product with a column of `_right` is the squared distance of the two: [N, D + 2]."""
    squares = np.square(values).sum(axis=0)
    return np.vstack([-2 * values, squares, np.ones_like(squares)]).T.astype(np.float32)


def _right(values: Floats) -> NDArray[np.float32]:
    """Columns for the rows of `_left`: [D + 2, N]."""
    squares = np.square(values).sum(axis=0)
    return np.vstack([values, np.ones_like(squares), squares]).astype(np.float32)
