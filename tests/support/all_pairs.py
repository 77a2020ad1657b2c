"""The factors and scores of every pair of two sets of faces, for tests of searches for the best."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from matching.scoring import BEST, factors, score
from matching.traits import Floats, Traits
from semblance.weights import Weights


def all_factors(a: Traits, b: Traits) -> Floats:
    """The factors of every face of `a` with every face of `b`: [6, A, B]."""
    return np.stack([factors(a.take(slice(row, row + 1)), b) for row in range(len(a))], axis=1)


def all_scores(a: Traits, b: Traits, weights: Weights) -> Floats:
    """The scores, [A, B]."""
    return score(all_factors(a, b), weights)


def best_by_hand(scores: Floats, person: NDArray[np.int64], threshold: float) -> list[int]:
    """Places of the best photos of the best people of one probe; ties go to the smaller place."""
    chosen: dict[int, int] = {}
    for place in np.lexsort((np.arange(len(scores)), -np.round(scores, 9))).tolist():
        if scores[place] >= threshold:
            chosen.setdefault(int(person[place]), place)
    return list(chosen.values())[:BEST]
