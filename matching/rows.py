"""Traits from the rows of a binary COPY."""

from __future__ import annotations

import numpy as np

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
