"""Traits from the rows of a binary COPY."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import Rows
from matching.traits import Traits, unit


def traits_of(rows: Rows) -> Traits:
    """The traits, float32, of rows whose first columns are TRAITS."""
    return Traits(
        embedding=unit(rows["embedding"]["values"].astype(np.float32)),
        geometry=rows["geometry"]["items"]["value"].T.astype(np.float32),
        age=rows["age"].astype(np.int16),
        symmetry=rows["symmetry"].astype(np.float32),
        skin_tone=rows["skin_tone"]["items"]["value"].T.astype(np.float32),
        expression=rows["expression"].astype(np.int8),
    )


class PersonNumbers:
    """Numbers for people, by which arrays tell them apart: the places in `known`, then in the order in which
    they come.

    Args:
        known: The ids of some, ascending, as 16 bytes each.
    """

    def __init__(self, known: NDArray[np.void] | None = None) -> None:
        self._known = np.empty(0, "V16") if known is None else known
        self._later: dict[bytes, int] = {}

    def of(self, keys: NDArray[np.void]) -> NDArray[np.int64]:
        """The numbers of these people, given by the 16 bytes of their ids."""
        numbers = find(self._known, keys)
        later, first = self._later, len(self._known)
        for place in np.flatnonzero(numbers < 0).tolist():
            numbers[place] = later.setdefault(bytes(keys[place]), first + len(later))
        return numbers

    def keys(self) -> NDArray[np.void]:
        """The ids of all, by number."""
        return np.concatenate([self._known, np.array(list(self._later), "V16")])


def sortable(ids: NDArray[np.void]) -> NDArray[np.bytes_]:
    """The ids as byte strings, because NumPy cannot order raw bytes. It ignores zeros at the end of a string,
    which does not change the order."""
    return np.ascontiguousarray(ids).view("S16")


def find(known: NDArray[np.void], keys: NDArray[np.void]) -> NDArray[np.int64]:
    """The places of ids among known ones, which ascend; -1 for those that are not there."""
    if not len(known):
        return np.full(len(keys), -1, np.int64)
    wanted, among = sortable(keys), sortable(known)
    places = np.minimum(np.searchsorted(among, wanted), len(known) - 1)
    return np.where(among[places] == wanted, places, -1)
