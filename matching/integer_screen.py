"""The first pass of many probes on a processor: estimates of a few targets at a time, which stay in its
cache.

A target has a row of the estimates. So targets are multiplied where they are, and the terms of their age and
expression are rows of the probes' table. Distances are computed for the pairs that may be likely without
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TypeAlias

import numkong
import numpy as np
from numpy.typing import NDArray

from matching.estimates import RARE, LikelyPairs, ProbeTerms, TargetTerms
from matching.traits import Places

Products: TypeAlias = Callable[
    [NDArray[np.int8], NDArray[np.float32]], Callable[[NDArray[np.int8]], NDArray[np.float32]]
]
"""From the codes [P, D] and the scales [P] of probes to a function from the codes of targets [N, D] to the
products times the scales [N, P], in an array that the caller may overwrite."""

PIECE = 512
"""Targets that are estimated at once. With 256 probes, an array of float32 takes half a megabyte."""


def products_of_numkong(
    probes: NDArray[np.int8], scale: NDArray[np.float32]
) -> Callable[[NDArray[np.int8]], NDArray[np.float32]]:
    """The Products of every processor."""
    packed = numkong.dots_pack(np.ascontiguousarray(probes))

    def of(targets: NDArray[np.int8]) -> NDArray[np.float32]:
        found = np.asarray(numkong.dots_packed(targets, packed)).astype(np.float32)
        return np.multiply(found, scale, out=found)

    return of


class IntegerScreen:
    """A PairScreen. It pays for more than FEW probes."""

    most = 8192
    """After so many targets, the best of them rule out more of the others."""

    def __init__(self, products: Products = products_of_numkong) -> None:
        self._products = products

    def load(self, targets: TargetTerms) -> Callable[[ProbeTerms, NDArray[np.float32]], LikelyPairs]:
        """See matching.estimates.PairScreen."""
        loaded = _Loaded(targets)

        def pairs(probes: ProbeTerms, least: NDArray[np.float32]) -> LikelyPairs:
            found = list(loaded.likely(probes, least[:, 0], self._products(probes.codes, probes.scale[:, 0])))
            probe, target, estimate = zip(*found, strict=True)
            return np.concatenate(probe), np.concatenate(target), np.concatenate(estimate)

        return pairs


class _Loaded:
    """Targets, in the arrays that the estimates take."""

    def __init__(self, targets: TargetTerms) -> None:
        self._targets = targets
        self._scale = targets.scale[:, None]
        self._constant = targets.constant[:, None]

    def likely(
        self,
        probes: ProbeTerms,
        least: NDArray[np.float32],
        products: Callable[[NDArray[np.int8]], NDArray[np.float32]],
    ) -> Iterator[LikelyPairs]:
        """The likely pairs, PIECE by PIECE of the targets."""
        targets = self._targets
        shape = (min(PIECE, len(targets.scale)), len(least))
        terms, passed, zeros = (
            np.empty(shape, np.float32),
            np.empty(shape, np.bool_),
            np.zeros(shape, np.float32),
        )
        least = least - probes.symmetry[:, 0]
        for start in range(0, len(targets.scale), PIECE):
            part = slice(start, min(start + PIECE, len(targets.scale)))
            size = part.stop - part.start
            estimate, term, likely = products(targets.codes[part]), terms[:size], passed[:size]
            np.multiply(estimate, self._scale[part], out=estimate)
            np.maximum(estimate, zeros[:size], out=estimate)
            np.take(probes.by_kind, targets.kind[part], axis=0, out=term, mode="clip")
            np.add(estimate, term, out=estimate)
            np.add(estimate, self._constant[part], out=estimate)
            np.greater_equal(estimate, least, out=likely)
            places = np.flatnonzero(likely)
            if RARE * len(places) < estimate.size:
                target, probe = np.divmod(places, len(least))
                yield self._near(probes, least, estimate.take(places), probe, target + start)
            else:
                self._subtract_distances(probes, part, estimate, term)
                places = np.flatnonzero(estimate >= least)
                target, probe = np.divmod(places, len(least))
                yield probe, target + start, estimate.take(places) + probes.symmetry[:, 0].take(probe)

    def _near(
        self,
        probes: ProbeTerms,
        least: NDArray[np.float32],
        estimate: NDArray[np.float32],
        probe: Places,
        target: Places,
    ) -> LikelyPairs:
        """The likely ones of some pairs, from their estimates without distances."""
        for mine, theirs, far in self._distances(probes):
            squares = np.einsum("md,md->m", mine.take(probe, axis=0), theirs.take(target, axis=0))
            estimate -= np.minimum(np.sqrt(np.maximum(squares, 0)), far)
            near = np.flatnonzero(estimate >= least.take(probe))
            probe, target, estimate = probe.take(near), target.take(near), estimate.take(near)
        return probe, target, estimate + probes.symmetry[:, 0].take(probe)

    def _subtract_distances(
        self, probes: ProbeTerms, part: slice, estimate: NDArray[np.float32], length: NDArray[np.float32]
    ) -> None:
        for mine, theirs, far in self._distances(probes):
            np.matmul(theirs[part], mine.T, out=length)
            np.maximum(length, 0, out=length)
            np.sqrt(length, out=length)
            np.minimum(length, far, out=length)
            np.subtract(estimate, length, out=estimate)

    def _distances(
        self, probes: ProbeTerms
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32], np.float32]]:
        """Of both distances: what probes and targets bring into the squares, and the most it subtracts."""
        yield probes.geometry, self._geometry, probes.far[0]
        yield probes.skin_tone, self._skin_tone, probes.far[1]

    # Rows, which a few targets are taken from.

    @cached_property
    def _geometry(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._targets.geometry.T)

    @cached_property
    def _skin_tone(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._targets.skin_tone.T)
