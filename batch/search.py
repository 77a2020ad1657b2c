"""What a task of a rematch does: in a module of its own, because a worker imports it before it can begin, and
the rest of the job would take seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import ray
from numpy.typing import NDArray

from semblance.best_matches import BestMatches, Found, take
from semblance.scoring import Traits, Weights

Places: TypeAlias = NDArray[np.intp]


def ready() -> None:
    """Nothing, once there is a worker that could do something."""


def search_gallery(
    probes: Traits,
    blocks: Sequence[tuple[ray.ObjectRef[Traits], ray.ObjectRef[Places]]],
    weights: Weights,
    threshold: float,
) -> Found:
    """The best celebrities of some faces."""
    best = BestMatches(probes, weights, threshold)
    for block in blocks:
        traits, places = ray.get(list(block))
        best.add(traits, places)
    return best.found()


def search_each_other(
    faces: Traits, groups: Sequence[tuple[Places, Places]], weights: Weights, threshold: float
) -> Found:
    """Of each group of places, the best of the second for the first."""
    parts = []
    for probes, targets in groups:
        best = BestMatches(take(faces, probes), weights, threshold)
        best.add(take(faces, targets), targets)
        found = best.found()
        parts.append(replace(found, probe=probes[found.probe]))
    return Found(
        probe=np.concatenate([part.probe for part in parts]),
        target=np.concatenate([part.target for part in parts]),
        score=np.concatenate([part.score for part in parts]),
        factors=np.concatenate([part.factors for part in parts], axis=1),
    )
