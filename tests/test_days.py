"""When a test waits for the next day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.days import wait_for_a_day
from tests.support.waiting import PATIENCE_S


@pytest.mark.parametrize(
    ("left", "slept"),
    [(PATIENCE_S + 1, []), (PATIENCE_S, []), (PATIENCE_S - 1, [PATIENCE_S - 1]), (0.5, [0.5])],
)
def test_only_the_end_of_a_day_is_waited_for(left: float, slept: list[float]) -> None:
    """The last day of a year is one like others."""
    waits: list[float] = []
    wait_for_a_day(datetime(2027, 1, 1, tzinfo=UTC) - timedelta(seconds=left), waits.append)
    assert waits == slept
