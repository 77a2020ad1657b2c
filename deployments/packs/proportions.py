"""Confidence intervals of counted shares."""

from __future__ import annotations

from math import sqrt
from typing import Final

TWO_SIDED: Final = 1.959964
"""Standard normal quantile of .975: 95 % of such intervals hold the true share."""
ONE_SIDED: Final = 1.644854
"""Standard normal quantile of .95: 95 % of such upper bounds lie above the true share."""


def wilson(share: float, trials: float, z: float = TWO_SIDED) -> tuple[float, float]:
    """Lower and upper bound, 0..1, of a share that was measured as `share` in `trials` independent trials, at
    least one: Wilson's score interval (JASA 22, 1927). Unlike the normal interval it has a width at 0 and 1:
    after no success in n trials the one-sided upper bound is about 2.7 / n."""
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low = 0.0 if share <= 0 else (centre - spread) / scale
    high = 1.0 if share >= 1 else (centre + spread) / scale
    return low, high
