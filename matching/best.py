"""The best targets of each probe in order, where no database decides: among faces that are all in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from matching.quantized import QuantizedTraits
from matching.ranking import Owners, RankedPairs, Ranking
from matching.scoring import BEST
from matching.traits import Places, Traits
from semblance.weights import FACTORS, Weights

_DIGITS = 9
"""Decimal digits of a score that count in comparisons; sums in another order differ in the sixteenth."""


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
    ranking.add(QuantizedTraits.of(targets), 0, owners=None if person is None else Owners.of(person))
    near = ranking.near_best(lambda chosen: (targets.take(chosen), 0.0))
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
