"""What a Ray task does: search celebrities for some faces.

A worker imports this module before its first task, so it imports little: what the job itself needs takes half
a second of a processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import ray

from matching.estimates import PairScreen
from matching.quantized import QuantizedTraits
from matching.ranking import Owners, Ranking
from matching.traits import Floats, Places, Traits
from semblance.weights import Weights


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Celebrities of one gender in Ray's object store. first: how many are in the segments before."""

    gender: int
    first: int
    size: int
    celebrities: ray.ObjectRef[tuple[QuantizedTraits, Owners]]


def near_best(
    on_gpu: bool,
    probes: Traits,
    segments: Sequence[Segment],
    weights: Weights,
    threshold: float,
) -> tuple[Places, Places]:
    """The pairs that may be among the best of all segments: places among the probes, and of celebrities.

    on_gpu: Whether the task has a share of a GPU.
    """
    ranking = Ranking(probes, weights, threshold, screen=_gpu_screen() if on_gpu else None)
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


@cache
def _gpu_screen() -> PairScreen | None:
    """Of this worker's process, which does many tasks."""
    from deployments.screen import open_gpu_screen  # noqa: PLC0415 - see above
    from semblance.settings import Settings  # noqa: PLC0415

    return open_gpu_screen(Settings(execution_provider="auto"))
