"""The ranking engine: the best of many targets for each of many probes, by the full score.

It works in three steps. Estimates of all pairs, whose error is known, tell which targets may be among the
best (`matching.estimates`). These candidates are scored again (`matching.scoring`). Those that may be among
the best, with allowance for the rounding of float32 traits and for what is known of their embeddings, are the
result. The database, or `matching.best`, orders them.

Targets may be photos of people. Then a person counts once, by the best photo: the best are BEST people, and
a photo that is surely worse than another one of the same person is no candidate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from matching.estimates import RARE, PairScreen, ProbeSide, ProbeTerms, TargetSide, target_terms
from matching.quantized import Codes, QuantizedTraits
from matching.scoring import BEST, factors, score
from matching.traits import Floats, Places, Traits
from semblance.weights import FACTORS, Weights

ROUNDING = 1e-5
"""Bound on what float32 traits, in place of the database's float8 columns, change in a score: ten times what
they do."""

PROBE_BLOCK = 256
PAIRS = 2**19
TARGET_BLOCK = 32_768
"""Most probes, pairs and targets of one pass: two float32 arrays of 2 MB at most, less than a core's share of
the cache."""

RARE_OF_ONE = 2
"""The same for a single probe. Preparing targets for products of many probes takes memory that is new to the
process: without it, a search of 100,000 takes a third less of the processor."""

FIRST_TARGETS = 2048
"""Targets of the first pass. All pairs of it are looked at, and its best rule out most of the others."""

SAMPLE = 256
"""Of the targets of a single probe that may be among the best, so many are tried first if there are many.
What these reach rules out most of the others before their distances are computed."""

EXACT_PAIRS = 512
"""Candidates that are scored exactly at once: 2 MB of embeddings."""

CROWD = 2
"""Candidates, in multiples of BEST a probe or of what was left the last time, from which on they are thinned
out."""


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

    def __init__(
        self, probes: Traits, weights: Weights, threshold: float, *, screen: PairScreen | None = None
    ) -> None:
        """screen: For targets that all probes may be matched with, after those of the first pass."""
        self._screen = screen
        self._probes = probes
        self._weights = weights
        self._threshold = threshold
        self._side = ProbeSide(probes, weights)
        # No target whose score is surely lower is among the best of its probe.
        self._floor = np.full(len(probes), threshold - ROUNDING, np.float32)
        starts = range(0, len(probes), PROBE_BLOCK)
        self._rows = [slice(start, min(start + PROBE_BLOCK, len(probes))) for start in starts]
        self._kept: list[list[_Candidates]] = [[] for _ in self._rows]
        self._most = [CROWD * BEST * (rows.stop - rows.start) for rows in self._rows]
        self._terms: dict[int, ProbeTerms] = {}
        self._begun = False
        self._block = min(TARGET_BLOCK, PAIRS // max(1, min(len(probes), PROBE_BLOCK)))

    def add(
        self,
        targets: QuantizedTraits,
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
        end, last = 0, len(targets)
        if eligible is not None:
            end, last = _bounds(eligible[0] if len(eligible) == 1 else np.logical_or.reduce(eligible))
        while end < last:
            screen = self._screen if self._begun and eligible is None else None
            if screen is not None:
                most = screen.most
            else:
                begun = self._begun or len(self._probes) == 1
                most = self._block if begun else min(self._block, FIRST_TARGETS)
            start, end = end, min(end + most, last)
            part, self._begun = slice(start, end), True
            some = targets if end - start == len(targets) else targets.take(part)
            if screen is not None:
                likely = self._on_screen(screen, some, first + start, person[part])
            else:
                likely = partial(
                    self._likely,
                    block=_Pass(
                        side=TargetSide(some, self._side),
                        codes=some.codes,
                        first=first + start,
                        eligible=None if eligible is None else eligible[:, part],
                        person=person[part],
                        crowd=crowd,
                    ),
                )
            for number, rows in enumerate(self._rows):
                kept, new = self._kept[number], likely(rows)
                if len(new.probe):
                    kept.append(new)
                if sum(len(part.probe) for part in kept) > self._most[number]:
                    kept[:] = [self._pruned(_Candidates.joined(kept))]
                    self._most[number] = max(self._most[number], CROWD * len(kept[0].probe))

    def near_best(self, targets_at: Callable[[Places], tuple[Traits, Floats | float]]) -> RankedPairs:
        """All pairs that may be among the best and may reach the threshold, unordered.

        A pair is left out if its score is so low that the rounding of float32 traits and the error of its
        embedding cannot explain it. Scores are exact but for these.

        Args:
            targets_at: Returns the targets at the given places, and how far their embeddings may be from the
                true ones.
        """
        likely = self._pruned(_Candidates.joined([part for kept in self._kept for part in kept]))
        found = np.empty((len(FACTORS), len(likely.probe)))
        slack = np.empty(len(likely.probe))
        for start in range(0, len(likely.probe), EXACT_PAIRS):
            part = slice(start, start + EXACT_PAIRS)
            targets, error = targets_at(likely.target[part])
            found[:, part] = factors(self._probes.take(likely.probe[part]), targets)
            slack[part] = ROUNDING + self._weights.embedding * error
        scores = score(found, self._weights)
        pairs = RankedPairs(likely.probe, likely.target, likely.person, scores, found)
        last, own = _standing(likely.probe, likely.person, scores - slack, len(self._probes))
        floor = np.maximum(last, self._threshold)[likely.probe]
        return pairs.take(np.flatnonzero(scores + slack >= np.maximum(floor, own)))

    def _likely(self, rows: slice, block: _Pass) -> _Candidates:
        """The pairs of a block that may be among the best of all blocks up to it."""
        estimates = self._side.without_distances(rows, block.side)
        margin = self._side.margin(rows, block.codes)
        likely = self._reaching(rows, block, estimates, margin)
        if len(likely) == 1 and np.count_nonzero(likely) > FIRST_TARGETS:
            self._try_some(rows, block, estimates, margin, likely)
            likely = self._reaching(rows, block, estimates, margin)
        rare = np.count_nonzero(likely) * (RARE if len(likely) > 1 else RARE_OF_ONE) < likely.size
        if not rare:
            self._side.subtract_distances(rows, block.side, estimates)
            if block.eligible is not None:
                np.copyto(estimates, -np.inf, where=~block.eligible[rows])
            self._raise_floor(rows, estimates, margin, block.crowd)
            likely = estimates >= (self._floor[rows] - margin)[:, None]
        places = np.flatnonzero(likely)
        probe = places // likely.shape[1]
        target = places - probe * likely.shape[1]
        estimate = estimates.take(places)
        if rare:
            estimate -= self._side.distances(probe + rows.start, block.side, target)
            near = np.flatnonzero(estimate >= (self._floor[rows] - margin).take(probe))
            probe, target, estimate = probe.take(near), target.take(near), estimate.take(near)
        return _Candidates(
            probe + rows.start, target + block.first, block.person[target], estimate, margin[probe]
        )

    def _reaching(
        self, rows: slice, block: _Pass, estimates: NDArray[np.float32], margin: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Which pairs may be among the best by estimates without distances, which only make these lower."""
        likely: NDArray[np.bool_] = estimates >= (self._floor[rows] - margin)[:, None]
        if block.eligible is not None:
            likely &= block.eligible[rows]
        return likely

    def _try_some(
        self,
        rows: slice,
        block: _Pass,
        estimates: NDArray[np.float32],
        margin: NDArray[np.float32],
        likely: NDArray[np.bool_],
    ) -> None:
        """Raise the floor of a single probe to what some SAMPLE of the likely targets surely reach: those
        with the highest estimates without distances."""
        target = np.flatnonzero(likely)
        estimate = estimates[0, target]
        some = estimate[:: len(estimate) // FIRST_TARGETS]
        place = len(some) - 1 - SAMPLE * len(some) // len(estimate)
        # Not many more if they tie.
        best = np.flatnonzero(estimate >= np.partition(some, place)[place])[: 2 * SAMPLE]
        target, probe = target[best], np.zeros(len(best), np.int64)
        estimate = estimate[best] - self._side.distances(probe + rows.start, block.side, target)
        self._pruned(
            _Candidates(
                probe + rows.start, target + block.first, block.person[target], estimate, margin[probe]
            )
        )

    def _on_screen(
        self, screen: PairScreen, targets: QuantizedTraits, first: int, person: NDArray[np.int64]
    ) -> Callable[[slice], _Candidates]:
        """The same by a device."""
        pairs = screen.load(target_terms(targets, self._weights))

        def likely(rows: slice) -> _Candidates:
            margin = self._side.margin(rows, targets.codes)
            terms = self._terms.get(rows.start)
            if terms is None or terms.codes.shape[1] != targets.codes.dimensions:
                terms = self._terms[rows.start] = self._side.terms(rows, targets.codes.dimensions)
            probe, target, estimate = pairs(terms, (self._floor[rows] - margin)[:, None])
            return _Candidates(probe + rows.start, target + first, person[target], estimate, margin[probe])

        return likely

    def _raise_floor(
        self, rows: slice, estimates: NDArray[np.float32], margin: NDArray[np.float32], crowd: int
    ) -> None:
        """Raise the floor to what the best of a block surely reach, if many pairs of it are above: mostly
        those of the first block."""
        above = np.count_nonzero(estimates >= (self._floor[rows] - margin)[:, None])
        if above > CROWD * BEST * len(estimates) and crowd <= estimates.shape[1]:
            last = np.partition(estimates, -crowd, axis=1)[:, -crowd]
            self._floor[rows] = np.maximum(self._floor[rows], last - margin)

    def _pruned(self, candidates: _Candidates) -> _Candidates:
        """Without those that BEST other people of their probe, or another target of the same person, surely
        beat."""
        least = candidates.estimate - candidates.margin
        last, own = _standing(candidates.probe, candidates.person, least, len(self._floor))
        self._floor = np.maximum(self._floor, last)
        floor = np.maximum(self._floor[candidates.probe], own)
        return candidates.take(np.flatnonzero(candidates.estimate + candidates.margin >= floor))


def _bounds(wanted: NDArray[np.bool_]) -> tuple[int, int]:
    """The place of the first that is wanted, and the place after the last; 0 for both if none is."""
    flags = wanted.tobytes()
    return max(flags.find(1), 0), flags.rfind(1) + 1


def _standing(
    probe: NDArray[np.int64], person: NDArray[np.int64], scores: Floats | NDArray[np.float32], probes: int
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What pairs are up against: the score of the person in place BEST of each probe, [probes], -inf for a
    probe with fewer people; and for each pair the best score of the same probe and person.

    Sorting by one number takes a fifth of the time of sorting by several. It rounds the first result to 1e-9,
    which is nothing to what `scores` allow for.
    """
    last = np.full(probes, -np.inf, scores.dtype)
    if not len(probe):
        return last, scores
    least = person.min()
    pair = probe * (person.max() - least + 1) + (person - least)
    order = np.argsort(pair)
    first = np.ones(len(pair), bool)
    np.not_equal(pair[order[1:]], pair[order[:-1]], out=first[1:])
    starts = np.flatnonzero(first)
    best = np.maximum.reduceat(scores[order], starts)
    own = np.empty_like(scores)
    own[order] = best[np.cumsum(first) - 1]
    once = probe[order[starts]]
    # Scores are between -1 and 2, so they sort within their probe, the best first.
    ranked = np.sort(4.0 * once - best)
    people = np.bincount(once, minlength=probes)
    full = np.flatnonzero(people >= BEST)
    last[full] = 4.0 * full - ranked[(np.cumsum(people) - people)[full] + BEST - 1]
    return last, own


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """The targets of one pass. first: the place of the first. eligible, person, crowd: as in `Ranking.add`
    and `Owners`."""

    side: TargetSide
    codes: Codes
    first: int
    eligible: NDArray[np.bool_] | None
    person: NDArray[np.int64]
    crowd: int


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Pairs that may be among the best, by places, with the target's person, the estimate and the bound on
    its error, float32."""

    probe: NDArray[np.int64]
    target: NDArray[np.int64]
    person: NDArray[np.int64]
    estimate: NDArray[np.float32]
    margin: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[_Candidates]) -> _Candidates:
        numbers, values = np.empty(0, np.int64), np.empty(0, np.float32)
        return cls(
            np.concatenate([numbers, *(part.probe for part in parts)]),
            np.concatenate([numbers, *(part.target for part in parts)]),
            np.concatenate([numbers, *(part.person for part in parts)]),
            np.concatenate([values, *(part.estimate for part in parts)]),
            np.concatenate([values, *(part.margin for part in parts)]),
        )

    def take(self, index: Places) -> _Candidates:
        return _Candidates(
            self.probe[index],
            self.target[index],
            self.person[index],
            self.estimate[index],
            self.margin[index],
        )
