"""Embeddings in eight bits a dimension, with a bound on the error of each cosine, and traits with these.

An embedding is stored as whole numbers -127..127 times its scale, with the length of what that leaves out.
Integer products are exact, on every processor, and cost a fraction of those of float32: most of the time of a
search goes into reading embeddings. Dimensions after the last that is not zero are neither stored nor
multiplied: a pack of 128 dimensions fills 128 of the 512.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numkong
import numpy as np
from numpy.typing import NDArray

from matching.traits import Floats, Places, Traits
from semblance.types import EMBEDDING_SIZE

LEVELS = 127
"""Largest code."""

STEP = 64
"""Dimensions are stored in multiples of these: one line of the processor's cache."""

FEW = 16
"""Most probes for which targets are multiplied where they are. For more it pays to rearrange them first."""

WIDE = 256
"""Dimensions above which a single probe is not rearranged either: this takes a third of the time for 512, and
twice as long for 128. Below, as many targets as have so many together are multiplied as one row, which takes
two thirds of the time for 128. Longer rows are faster still from the cache, and slower from memory."""

ROUNDING = 1e-6
"""What float32 adds to the length of a remainder, ten times what it does."""

_ROWS = 512
"""Embeddings that are quantized at once: 1 MB."""


@dataclass(slots=True, eq=False)
class Codes:
    """N embeddings as `scale` times `values`.

    values: int8 [N, D], D a multiple of STEP. scale: float32 [N]. error: bound on the distance from the true
    embedding, float32 [N].
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    error: NDArray[np.float32]
    _largest_error: float | None = field(default=None, init=False, repr=False)

    @classmethod
    def empty(cls, size: int, dimensions: int = 0) -> Codes:
        """Room for `size` embeddings, all zeros."""
        return cls(
            np.zeros((size, dimensions), np.int8), np.zeros(size, np.float32), np.zeros(size, np.float32)
        )

    @classmethod
    def of(cls, embeddings: Floats) -> Codes:
        """The codes of embeddings [N, 512]."""
        codes = cls.empty(len(embeddings), _dimensions(embeddings))
        for start in range(0, len(embeddings), _ROWS):
            part = slice(start, start + _ROWS)
            vectors = embeddings[part, : codes.dimensions].astype(np.float32, copy=False)
            largest = np.maximum(vectors.max(axis=1, initial=0), -vectors.min(axis=1, initial=0))
            scale = np.divide(largest, LEVELS, out=codes.scale[part])
            steps = np.divide(LEVELS, largest, out=np.zeros_like(largest), where=largest > 0)
            values = np.rint(vectors * steps[:, None])
            codes.values[part] = values
            values *= scale[:, None]
            values -= vectors
            lengths = np.sqrt(np.einsum("nd,nd->n", values, values))
            codes.error[part] = np.where(largest > 0, lengths + np.float32(ROUNDING), 0)
        return codes

    def __len__(self) -> int:
        return len(self.scale)

    @property
    def dimensions(self) -> int:
        """D."""
        return int(self.values.shape[1])

    @property
    def largest_error(self) -> float:
        """The largest of `error`; 0 without embeddings."""
        if self._largest_error is None:
            self._largest_error = float(self.error.max(initial=0))
        return self._largest_error

    def take(self, index: slice | Places) -> Codes:
        """The codes at these places; for a slice without copying."""
        return Codes(self.values[index], self.scale[index], self.error[index])

    def put(self, places: Places, other: Codes) -> None:
        """Overwrite the codes at these places with as many others."""
        if other.dimensions > self.dimensions:
            missing = other.dimensions - self.dimensions
            self.values = np.pad(self.values, ((0, 0), (0, missing)))
        self.values[places, : other.dimensions] = other.values
        self.values[places, other.dimensions :] = 0
        self.scale[places] = other.scale
        self.error[places] = other.error
        self._largest_error = None

    def embeddings(self) -> NDArray[np.float32]:
        """What the codes stand for, float32 [N, 512]."""
        found = np.zeros((len(self), EMBEDDING_SIZE), np.float32)
        np.multiply(self.values, self.scale[:, None], out=found[:, : self.dimensions])
        return found


def _dimensions(embeddings: Floats) -> int:
    """The dimensions up to the last that is not zero in all, in multiples of STEP; at least one STEP."""
    dimensions = int(embeddings.shape[1])
    while dimensions > STEP and not embeddings[:, dimensions - STEP : dimensions].any():
        dimensions -= STEP
    return dimensions


def products(targets: Codes) -> Callable[[Codes], NDArray[Any]]:
    """A function that returns the products of the codes of its probes with those of the targets, [P, N]:
    whole numbers of any type."""
    packed: dict[int, Any] = {}

    def of(probes: Codes) -> NDArray[Any]:
        dimensions = min(probes.dimensions, targets.dimensions)
        some, all_ = probes.values[:, :dimensions], targets.values[:, :dimensions]
        if not len(some) or not len(all_):
            return np.zeros((len(some), len(all_)), np.int32)
        if len(some) == 1 and dimensions > WIDE:
            return np.asarray(numkong.cdist(some, all_, "dot")).reshape(1, -1)
        if len(some) == 1:
            return _products_of_one(some[0], all_)
        if len(some) <= FEW:
            return np.asarray(numkong.dots_packed(all_, numkong.dots_pack(some))).T
        if dimensions not in packed:
            packed[dimensions] = numkong.dots_pack(all_)
        return np.asarray(numkong.dots_packed(some, packed[dimensions]))

    return of


def _products_of_one(probe: NDArray[np.int8], targets: NDArray[np.int8]) -> NDArray[Any]:
    """The products of one probe [D] with targets, [1, N]. Each target of a row has a column, in which the
    probe is at its place and all else is zero."""
    count, dimensions = targets.shape
    together = min(count, WIDE // dimensions) if targets.flags.c_contiguous else 1
    columns = np.zeros((together, together, dimensions), np.int8)
    columns[range(together), range(together)] = probe
    packed = numkong.dots_pack(columns.reshape(together, -1))
    rows = targets[: count // together * together].reshape(-1, together * dimensions)
    found = np.asarray(numkong.dots_packed(rows, packed)).reshape(1, -1)
    if found.size == count:
        return found
    rest = numkong.dots_packed(targets[found.size :], numkong.dots_pack(probe[None]))
    return np.concatenate([found, np.asarray(rest).T], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedTraits:
    """Traits of N faces with codes in place of embeddings. others: the traits; their embeddings have no
    dimensions."""

    codes: Codes
    others: Traits

    @classmethod
    def empty(cls, size: int, dimensions: int = 0) -> QuantizedTraits:
        """Room for `size` faces, all zeros."""
        return cls(Codes.empty(size, dimensions), Traits.empty(size, dimensions=0))

    @classmethod
    def of(cls, traits: Traits) -> QuantizedTraits:
        """The same faces with codes."""
        return cls(Codes.of(traits.embedding), traits.with_embedding(traits.embedding[:, :0]))

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, index: slice | Places) -> QuantizedTraits:
        """The faces at these places; for a slice without copying."""
        return QuantizedTraits(self.codes.take(index), self.others.take(index))

    def put(self, places: Places, other: QuantizedTraits) -> None:
        """Overwrite the faces at these places with as many others."""
        self.codes.put(places, other.codes)
        self.others.put(places, other.others)

    def traits(self) -> Traits:
        """The faces with embeddings that are as far from the true ones as `codes.error` says."""
        return self.others.with_embedding(self.codes.embeddings())
