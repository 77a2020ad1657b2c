"""Which genders are matched with which, as `may_match_celebrity` says it in SQL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import GENDERS

UNKNOWN = GENDERS[None]


def may_match(stated: Any, gender: Any) -> NDArray[np.bool_]:
    """Whether somebody who states the first gender is matched with somebody of the second.

    A user who states none is matched with every celebrity. A gender that is not known differs from no other.

    Args:
        stated, gender: As GENDERS numbers them; arrays that broadcast.
    """
    stated, gender = np.asarray(stated), np.asarray(gender)
    allowed: NDArray[np.bool_] = (stated == UNKNOWN) | ((gender != UNKNOWN) & (gender != stated))
    return allowed
