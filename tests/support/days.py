"""Tests that count by the day (UTC), as daily limits and statistics do, end on the day of their beginning."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.waiting import PATIENCE_S


def wait_for_a_day(now: datetime, sleep: Callable[[float], object] = time.sleep) -> None:
    """Wait for the next day if this one ends before a test may have ended. The database, whose clock is this
    one, decides which day it is, so that no test can set it. Month and year change at the same moment."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if (left := (midnight - now).total_seconds()) < PATIENCE_S:
        sleep(left)


@pytest.fixture(autouse=True)
def within_a_day() -> None:
    wait_for_a_day(datetime.now(UTC))
