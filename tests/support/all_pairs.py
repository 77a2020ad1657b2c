"""The factors and scores of every pair of two sets of faces, for tests of searches for the best."""

from __future__ import annotations

import numpy as np

from matching.scoring import factors, score
from matching.traits import Floats, Traits
from semblance.weights import Weights


def all_factors(a: Traits, b: Traits) -> Floats:
    """The factors of every face of `a` with every face of `b`: [6, A, B]."""
    return np.stack([factors(a.take(slice(row, row + 1)), b) for row in range(len(a))], axis=1)


def all_scores(a: Traits, b: Traits, weights: Weights) -> Floats:
    """The scores, [A, B]."""
    return score(all_factors(a, b), weights)
