"""Rounds of the same measurement, of which one counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

_Round = TypeVar("_Round")


def median_round(rounds: Sequence[_Round], number: Callable[[_Round], float]) -> _Round:
    """The round with the median of a number; of an even count, the higher of the two in the middle."""
    return sorted(rounds, key=number)[len(rounds) // 2]
