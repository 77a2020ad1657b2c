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
    """Numbers for people, by which arrays tell them apart: 0, 1, … in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def of(self, keys: NDArray[np.void]) -> NDArray[np.int64]:
        """The numbers of these people, given by the 16 bytes of their ids."""
        numbers = self._numbers
        found = (numbers.setdefault(key, len(numbers)) for key in keys.tolist())
        return np.fromiter(found, np.int64, len(keys))
