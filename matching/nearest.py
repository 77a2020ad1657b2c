"""The people of a gallery most like a face, by the similarity of embeddings alone.

As in a ranking (`matching.ranking`), products in eight bits tell with a known error who may be among them.
The database, which has the embeddings themselves, orders these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matching.gallery_arrays import Block
from matching.quantized import Codes, products
from matching.traits import Floats, Places, unit

ROUNDING = 1e-5
"""Bound on what float32 changes in a cosine: ten times what it does."""

RARE = 16
"""If fewer than one celebrity of so many passes the filters, only these are multiplied."""

SPARE = 60
"""Photos looked at beyond the people wanted, because some people have several."""


def near_people(
    embedding: Floats, blocks: Iterable[Block], passes: Callable[[Block], NDArray[np.bool_]], limit: int
) -> tuple[Places, int]:
    """Photos of whom may be among the `limit` people most like a face: their places, and of how many people
    they are. If these are fewer than `limit`, nobody else passes the filters.

    A photo is left out if another one of the same person, or those of `limit` other people, are surely
    nearer.

    Args:
        embedding: [512], of any length but zero.
        passes: Which places of a block pass the filters. Places without a celebrity are left out.
    """
    probe = Codes.of(unit(np.asarray(embedding, np.float64)[None]))
    kept = _Near.none()
    floor = -np.inf
    for number, block in enumerate(blocks):
        # An embedding of zeros is like nobody.
        chosen = np.flatnonzero(passes(block) & (block.person >= 0) & (block.traits.codes.scale > 0))
        found = _near(probe, block, chosen)
        found = found.take(np.flatnonzero(found.most >= floor))
        if len(found.place):
            found.place += number * len(block.fit)
            kept, floor = kept.joined(found).best(limit)
    return kept.place, len(np.unique(kept.person))


def _near(probe: Codes, block: Block, chosen: Places) -> _Near:
    """How near the chosen celebrities of a block are to a face."""
    codes = block.traits.codes
    few = len(chosen) * RARE < len(block.fit)
    if few:
        codes = codes.take(chosen)
    cosine = products(codes)(probe)[0] * (codes.scale * probe.scale)
    error = (1 + probe.error) * codes.error + (probe.error + np.float32(ROUNDING))
    if not few:
        cosine, error = cosine[chosen], error[chosen]
    return _Near(chosen, block.person[chosen], cosine - error, cosine + error)


@dataclass(slots=True, eq=False)
class _Near:
    """Photos of people. least, most: bounds on their similarity, float32 [N]."""

    place: Places
    person: NDArray[np.int64]
    least: NDArray[np.float32]
    most: NDArray[np.float32]

    @classmethod
    def none(cls) -> _Near:
        """Nobody."""
        numbers, bounds = np.empty(0, np.int64), np.empty(0, np.float32)
        return cls(numbers, numbers, bounds, bounds)

    def take(self, index: Places) -> _Near:
        """Those at these indexes."""
        return _Near(self.place[index], self.person[index], self.least[index], self.most[index])

    def joined(self, other: _Near) -> _Near:
        """These and others."""
        return _Near(
            np.concatenate([self.place, other.place]),
            np.concatenate([self.person, other.person]),
            np.concatenate([self.least, other.least]),
            np.concatenate([self.most, other.most]),
        )

    def best(self, limit: int) -> tuple[_Near, float]:
        """Those that may show one of the `limit` nearest people, and what the last of these surely reaches;
        -inf if there are fewer people."""
        floor = self._floor(limit)
        near = self.take(np.flatnonzero(self.most >= floor))
        people, number = np.unique(near.person, return_inverse=True)
        own = np.full(len(people), -np.inf, np.float32)
        np.maximum.at(own, number, near.least)
        return near.take(np.flatnonzero(near.most >= own[number])), floor

    def _floor(self, limit: int) -> float:
        """What the `limit` people who surely come nearest reach; -inf if there are fewer people."""
        photos = limit + SPARE
        while True:
            some: slice | Places = slice(None)
            if photos < len(self.least):
                some = np.argpartition(self.least, -photos)[-photos:]
            people, number = np.unique(self.person[some], return_inverse=True)
            if len(people) >= limit:
                own = np.full(len(people), -np.inf, np.float32)
                np.maximum.at(own, number, self.least[some])
                return float(np.partition(own, -limit)[-limit])
            if photos >= len(self.least):
                return -np.inf
            photos *= 4
