"""What a Ray task does: search matches for some faces.

A worker imports this module before its first task, so it imports little: what the job itself needs takes half
a second of a processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import ray

from deployments.products import exact_products
from matching.best import best_in_groups
from matching.estimates import PairScreen
from matching.integer_screen import IntegerScreen
from matching.quantized import FEW, QuantizedTraits
from matching.ranking import Owners, RankedPairs, Ranking
from matching.traits import Floats, Places, Traits
from semblance.cores import give_way
from semblance.weights import Weights


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Celebrities of one gender in Ray's object store. first: how many are in the segments before."""

    gender: int
    first: int
    size: int
    celebrities: ray.ObjectRef[tuple[QuantizedTraits, Owners]]


def near_best(
    graph: bytes | None,
    probes: Traits,
    segments: Sequence[Segment],
    weights: Weights,
    threshold: float,
) -> tuple[Places, Places]:
    """The pairs that may be among the best of all segments: places among the probes, and of celebrities.

    graph: The graph of products for a processor; None if the task has a share of a GPU.
    """
    give_way()
    # Opened even if nobody looks for matches, so that it is there for the first who does.
    screen = _gpu_screen() if graph is None else _screen(graph)
    few = graph is not None and len(probes) <= FEW
    ranking = Ranking(probes, weights, threshold, screen=None if few else screen)
    for segment in segments:
        traits, owners = ray.get(segment.celebrities)
        ranking.add(traits, segment.first, owners=owners)

    def celebrities_at(places: Places) -> tuple[Traits, Floats]:
        found = QuantizedTraits.empty(len(places))
        for segment in segments:
            here = np.flatnonzero((places >= segment.first) & (places < segment.first + segment.size))
            if len(here):
                traits, _ = ray.get(segment.celebrities)
                found.put(here, traits.take(places[here] - segment.first))
        return found.traits(), found.codes.error

    found = ranking.near_best(celebrities_at)
    return found.probe, found.target


def best_of_users(
    traits: Traits, groups: Sequence[tuple[Places, Places]], weights: Weights, threshold: float
) -> RankedPairs:
    """As `best_in_groups`."""
    give_way()
    return best_in_groups(traits, groups, weights, threshold)


@cache
def _gpu_screen() -> PairScreen | None:
    """Of this worker's process, which does many tasks."""
    from deployments.screen import open_gpu_screen  # noqa: PLC0415 - see above
    from semblance.settings import Settings  # noqa: PLC0415

    return open_gpu_screen(Settings(execution_provider="auto"))


@cache
def _screen(graph: bytes) -> PairScreen:
    """The same of a processor."""
    products = exact_products(graph)
    return IntegerScreen() if products is None else IntegerScreen(products)
