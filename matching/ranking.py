"""The ranking engine: the best of many targets for each of many probes, by the full score.

It works in three steps. Estimates of all pairs, whose error is known, tell which targets may be among the
best (`matching.estimates`). These candidates are scored exactly (`matching.scoring`). Those that are among
the best, with allowance for the rounding of float32 traits, are the result. The database, or `best_matches`,
orders them.

Targets may be photos of people. Then a person counts once, by the best photo: the best are BEST people, and
a photo that is surely worse than another one of the same person is no candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching.estimates import MARGIN, ProbeSide, TargetSide
from matching.scoring import BEST, factors, score
from matching.traits import Floats, Places, Traits
from semblance.weights import FACTORS, Weights

ROUNDING = 1e-5
"""Bound on what float32 traits, in place of the database's float8 columns, change in a score: ten times what
they do."""

PROBE_BLOCK = 256
PAIRS = 2**20
"""Most probes and pairs of one pass: two float32 arrays of 4 MB, about a core's share of the cache."""

EXACT_PAIRS = 4096
"""Candidates that are scored exactly at once: 16 MB of embeddings."""

CROWD = 2
"""Candidates, in multiples of BEST a probe, from which on they are thinned out."""

_DIGITS = 9
"""Decimal digits of a score that count in comparisons; sums in another order differ in the sixteenth."""


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Whose the targets of a block are.

    person: the number of each target's person, int64 [targets]; the same person has the same number in all
        blocks.
    crowd: so many targets of the block, whichever they are, are of at least BEST people.
    """

    person: NDArray[np.int64]
    crowd: int

    @classmethod
    def of(cls, person: NDArray[np.int64]) -> Self:
        """The owners of these targets. Fewer than BEST people own no more than what the BEST - 1 with the
        most targets own together, so one target more is of at least BEST."""
        _, targets = np.unique(person, return_counts=True)
        return cls(person, int(np.sort(targets)[::-1][: BEST - 1].sum()) + 1)


@dataclass(frozen=True, slots=True)
class RankedPairs:
    """Pairs of probes and targets. probe, target: places, int64 [P]; person: whose the target is, int64 [P];
    score: [P]; factors: [6, P]."""

    probe: NDArray[np.int64]
    target: NDArray[np.int64]
    person: NDArray[np.int64]
    score: Floats
    factors: Floats

    def take(self, index: Places) -> RankedPairs:
        """The pairs at these places."""
        return RankedPairs(
            self.probe[index],
            self.target[index],
            self.person[index],
            self.score[index],
            self.factors[:, index],
        )


class Ranking:
    """The search for the best targets of some probes, over targets that come in blocks.

    It needs memory for a block of estimates and, per probe, for about BEST candidates and those tied with
    them.
    """

    def __init__(self, probes: Traits, weights: Weights, threshold: float) -> None:
        self._probes = probes
        self._weights = weights
        self._threshold = threshold
        self._side = ProbeSide(probes, weights)
        # No target with a lower estimate is among the best of its probe.
        self._floor = np.full(len(probes), threshold - MARGIN, np.float32)
        self._kept = [_Candidates.joined([]) for _ in range(0, len(probes), PROBE_BLOCK)]
        self._block = PAIRS // max(1, min(len(probes), PROBE_BLOCK))

    def add(
        self,
        targets: Traits,
        first: int,
        eligible: NDArray[np.bool_] | None = None,
        owners: Owners | None = None,
    ) -> None:
        """Consider targets.

        Args:
            targets: The faces at the places `first`, `first` + 1, …
            eligible: Whether a probe may be matched with a target, [probes, targets]; None: all may.
            owners: Whose the targets are; None: each is of another person, whose number is its place.
        """
        person = np.arange(first, first + len(targets)) if owners is None else owners.person
        crowd = BEST if owners is None else owners.crowd
        for start in range(0, len(targets), self._block):
            part = slice(start, start + self._block)
            side = TargetSide(targets.take(part), self._side)
            for number in range(len(self._kept)):
                rows = slice(number * PROBE_BLOCK, (number + 1) * PROBE_BLOCK)
                estimates = self._side.estimates(rows, side)
                if eligible is not None:
                    np.copyto(estimates, -np.inf, where=~eligible[rows, part])
                new = self._likely(rows, estimates, first + start, person[part], crowd)
                if len(new.probe):
                    kept = _Candidates.joined([self._kept[number], new])
                    crowded = len(kept.probe) > CROWD * BEST * len(estimates)
                    self._kept[number] = self._pruned(kept) if crowded else kept

    def near_best(self, targets_at: Callable[[Places], Traits]) -> RankedPairs:
        """All pairs that may be among the best and may reach the threshold, with exact scores, unordered.

        A pair is left out if its score is so low that the rounding of float32 traits cannot explain it.

        Args:
            targets_at: Returns the targets at the given places.
        """
        likely = self._pruned(_Candidates.joined(self._kept))
        found = np.empty((len(FACTORS), len(likely.probe)))
        for start in range(0, len(likely.probe), EXACT_PAIRS):
            part = slice(start, start + EXACT_PAIRS)
            found[:, part] = factors(self._probes.take(likely.probe[part]), targets_at(likely.target[part]))
        scores = score(found, self._weights)
        last, own = _standing(likely.probe, likely.person, scores, len(self._probes))
        floor = np.maximum(last - 2 * ROUNDING, self._threshold - ROUNDING)[likely.probe]
        pairs = RankedPairs(likely.probe, likely.target, likely.person, scores, found)
        return pairs.take(np.flatnonzero(scores >= np.maximum(floor, own - 2 * ROUNDING)))

    def _likely(
        self,
        rows: slice,
        estimates: NDArray[np.float32],
        first: int,
        person: NDArray[np.int64],
        crowd: int,
    ) -> _Candidates:
        """The pairs of a block that may be among the best of all blocks up to it."""
        likely = estimates >= self._floor[rows, None]
        if np.count_nonzero(likely) > CROWD * BEST * len(estimates) and crowd <= estimates.shape[1]:
            # Mostly the first block. What is not among the best of this one need not be looked at.
            last = np.partition(estimates, -crowd, axis=1)[:, -crowd]
            self._floor[rows] = np.maximum(self._floor[rows], last - 2 * MARGIN)
            likely = estimates >= self._floor[rows, None]
        probe, target = np.divmod(np.flatnonzero(likely), likely.shape[1])
        return _Candidates(probe + rows.start, target + first, person[target], estimates[probe, target])

    def _pruned(self, candidates: _Candidates) -> _Candidates:
        """Without those that BEST other people of their probe, or another target of the same person, surely
        beat."""
        last, own = _standing(candidates.probe, candidates.person, candidates.estimate, len(self._floor))
        self._floor = np.maximum(self._floor, last - 2 * MARGIN)
        floor = np.maximum(self._floor[candidates.probe], own - 2 * MARGIN)
        return candidates.take(np.flatnonzero(candidates.estimate >= floor))


def best_matches(
    probes: Traits,
    targets: Traits,
    places: Places,
    weights: Weights,
    threshold: float,
    *,
    person: NDArray[np.int64] | None = None,
) -> RankedPairs:
    """The best targets of each probe, best first, among those that reach the threshold.

    Of equal scores the smaller place wins.

    Args:
        places: What the targets are called in the result, ascending.
        person: The number of each target's person, who counts once; None: each target is of another person,
            whose number is its place.
    """
    numbers = places.astype(np.int64) if person is None else person
    ranking = Ranking(probes, weights, threshold)
    ranking.add(targets, 0, owners=None if person is None else Owners.of(person))
    near = ranking.near_best(targets.take)
    near = replace(near, person=numbers[near.target])
    found = _in_order(near.take(np.flatnonzero(near.score >= threshold)))
    return replace(found, target=places[found.target])


def best_in_groups(
    faces: Traits, groups: Sequence[tuple[Places, Places]], weights: Weights, threshold: float
) -> RankedPairs:
    """The best matches of faces with each other.

    Args:
        groups: The places of some probes, and of the targets they are compared with, ascending. A face is a
            probe in one group at most.
    """
    parts = []
    for probes, targets in groups:
        found = best_matches(faces.take(probes), faces.take(targets), targets, weights, threshold)
        parts.append(replace(found, probe=probes[found.probe]))
    return merged(parts)


def merged(parts: Sequence[RankedPairs]) -> RankedPairs:
    """The best of each probe among what was found for it in different sets of targets."""
    nothing = np.empty(0, np.int64)
    everything = RankedPairs(
        probe=np.concatenate([nothing, *(part.probe for part in parts)]),
        target=np.concatenate([nothing, *(part.target for part in parts)]),
        person=np.concatenate([nothing, *(part.person for part in parts)]),
        score=np.concatenate([np.empty(0), *(part.score for part in parts)]),
        factors=np.concatenate([np.empty((len(FACTORS), 0)), *(part.factors for part in parts)], axis=1),
    )
    return _in_order(everything)


def _in_order(found: RankedPairs) -> RankedPairs:
    """The best of each probe, best first and each person once; of equal scores the smaller place wins.

    The last digits of a score depend on where in an array it was computed. They must not part equal faces.
    """
    worth = -np.round(found.score, _DIGITS)
    order = np.lexsort((found.target, worth, found.person, found.probe))
    once = order[_firsts(found.probe[order], found.person[order])]
    order = once[np.lexsort((found.target[once], worth[once], found.probe[once]))]
    probes = found.probe[order]
    rank = np.arange(len(order)) - np.searchsorted(probes, probes)
    return found.take(order[rank < BEST])


def _firsts(probe: NDArray[np.int64], person: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which pairs are the first of their probe and person, among pairs that are sorted by both."""
    first = np.ones(len(probe), bool)
    first[1:] = (probe[1:] != probe[:-1]) | (person[1:] != person[:-1])
    return first


def _standing(
    probe: NDArray[np.int64], person: NDArray[np.int64], scores: Floats | NDArray[np.float32], probes: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What pairs are up against: the score of the person in place BEST of each probe, [probes], -inf for a
    probe with fewer people; and for each pair the best score of the same probe and person."""
    order = np.lexsort((-scores, person, probe))
    first = _firsts(probe[order], person[order])
    own = np.empty_like(scores)
    own[order] = scores[order[first]][np.cumsum(first) - 1]
    once = order[first]
    once = once[np.lexsort((-scores[once], probe[once]))]
    found, begins, counts = np.unique(probe[once], return_index=True, return_counts=True)
    full = counts >= BEST
    last = np.full(probes, -np.inf, scores.dtype)
    last[found[full]] = scores[once[begins[full] + BEST - 1]]
    return last, own


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Pairs that may be among the best, by places, with the target's person and the estimate, float32."""

    probe: NDArray[np.int64]
    target: NDArray[np.int64]
    person: NDArray[np.int64]
    estimate: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[_Candidates]) -> _Candidates:
        nothing = np.empty(0, np.int64)
        return cls(
            np.concatenate([nothing, *(part.probe for part in parts)]),
            np.concatenate([nothing, *(part.target for part in parts)]),
            np.concatenate([nothing, *(part.person for part in parts)]),
            np.concatenate([np.empty(0, np.float32), *(part.estimate for part in parts)]),
        )

    def take(self, index: Places) -> _Candidates:
        return _Candidates(self.probe[index], self.target[index], self.person[index], self.estimate[index])
