"""Tasks that a test leaves on the event loop, which all tests share, end with it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """Set up before all other fixtures, so it ends last; but after the browser, which tests share."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
        shared = ["browser"] if "browser" in item.fixturenames else []
        item.fixturenames[:0] = [*shared, _ends_its_tasks.__name__]


@pytest.fixture
async def _ends_its_tasks() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    # All of them have begun after this. One that is cancelled before does nothing at all, and a connection on
    # its way back to a pool, which other tests use, would be lost.
    await asyncio.sleep(0)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
