"""Waiting for another task or process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from db.pool import Database

MATCHED = "SELECT bool_and(status = 'completed') FROM match_jobs"
"""Whether every match job is done."""


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Return once the condition holds; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.02)


async def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Return once the condition holds, while the event loop goes on; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await asyncio.sleep(0.002)


async def wait_until(database: Database, query: str, seconds: float) -> None:
    """Return once the query gives true; an AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not await database.fetchval(query):
        assert time.monotonic() < deadline, query
        await asyncio.sleep(0.02)
