"""What a task of a rematch does: in a module of its own, because a worker imports it before it can begin, and
the rest of the job would take seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from matching.ranking import Found, best_matches, merged, take
from matching.scoring import Traits
from semblance.weights import Weights

Places: TypeAlias = NDArray[np.intp]


def search(probes: Traits, targets: tuple[Traits, Places], weights: Weights, threshold: float) -> Found:
    """The best of the targets for each of some faces, by the places that come with them, in ascending order:
    of equal scores the smaller place wins."""
    traits, places = targets
    found = best_matches(probes, traits, weights, threshold)
    return replace(found, target=places[found.target])


def search_each_other(
    faces: Traits, groups: Sequence[tuple[Places, Places]], weights: Weights, threshold: float
) -> Found:
    """Of each group of places, the best of the second for the first."""
    parts = []
    for probes, places in groups:
        found = search(take(faces, probes), (take(faces, places), places), weights, threshold)
        parts.append(replace(found, probe=probes[found.probe]))
    return merged(parts)
