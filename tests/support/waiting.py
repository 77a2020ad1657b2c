"""Waiting for another task or process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from db.pool import Database

PATIENCE_S = 120.0
"""How long a test waits for what must happen. A machine that does much else may take this long; what passes
does not wait for its end."""

MATCHED = "SELECT bool_and(status = 'completed') FROM match_jobs"
"""Whether every match job is done."""

WAITING = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
"""Whether some statement waits for a lock."""


def wait_for(condition: Callable[[], bool]) -> None:
    """Return once the condition holds; an AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    """Return once the condition holds, while the event loop goes on; an AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        await asyncio.sleep(0.002)


async def wait_until(database: Database, query: str, *arguments: object) -> None:
    """Return once the query gives true; an AssertionError after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not await database.fetchval(query, *arguments):
        assert time.monotonic() < deadline, query
        await asyncio.sleep(0.02)
