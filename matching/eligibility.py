"""Which genders are matched with which, as `may_match_celebrity` says it in SQL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import GENDERS

UNKNOWN = GENDERS[None]


def may_match(stated: Any, gender: Any) -> NDArray[np.bool_]:
    """Whether a user who states the first gender may match a user or celebrity of the second.

    A user who states none may match every celebrity. An unknown gender matches only such users.

    Args:
        stated, gender: As GENDERS numbers them; arrays that broadcast.
    """
    stated, gender = np.asarray(stated), np.asarray(gender)
    allowed: NDArray[np.bool_] = (stated == UNKNOWN) | ((gender != UNKNOWN) & (gender != stated))
    return allowed
