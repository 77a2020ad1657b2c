"""What waits together is worked on together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from ray.serve import context

from deployments.batches import MOST_CALLS, Batches
from deployments.replica import serve_request_id


class Slow:
    """Doubles numbers, once it may go on. Notes its batches, and the request ids of each."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.ids: list[str] = []
        self.began = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.ids.append(serve_request_id())
        self.began.set()
        assert self.may_go_on.wait(30)
        if 0 in items:
            raise ZeroDivisionError
        return [2 * item for item in items]


async def begun(work: Slow) -> None:
    """Return once a batch has begun."""
    await asyncio.to_thread(work.began.wait, 30)


async def test_what_arrives_during_a_batch_forms_the_next() -> None:
    work = Slow()
    batches = Batches(work, "test")
    first = asyncio.create_task(batches.result(1))
    await begun(work)
    others = [asyncio.create_task(batches.result(item)) for item in range(2, 4 + MOST_CALLS)]
    await asyncio.sleep(0)
    work.may_go_on.set()
    assert await asyncio.gather(first, *others) == [2 * item for item in range(1, 4 + MOST_CALLS)]
    assert [len(batch) for batch in work.batches] == [1, MOST_CALLS, 2]
    # And again, after there was nothing to do.
    assert await batches.result(5) == 10


async def test_a_failure_is_that_of_all_calls_of_the_batch_only() -> None:
    work = Slow()
    batches = Batches(work, "test")
    first = asyncio.create_task(batches.result(1))
    await begun(work)
    failed = [asyncio.create_task(batches.result(item)) for item in (0, 2)]
    await asyncio.sleep(0)
    work.may_go_on.set()
    assert await first == 2
    for call in failed:
        with pytest.raises(ZeroDivisionError):
            await call
    assert await batches.result(3) == 6


async def test_calls_that_are_given_up_are_left_out() -> None:
    work = Slow()
    batches = Batches(work, "test")
    running = asyncio.create_task(batches.result(1))
    await begun(work)
    waiting, last = (asyncio.create_task(batches.result(item)) for item in (2, 3))
    await asyncio.sleep(0)
    running.cancel()
    waiting.cancel()
    work.may_go_on.set()
    assert await last == 6
    assert work.batches == [[1], [3]]


async def test_a_batch_logs_the_ids_of_its_requests() -> None:
    work = Slow()
    batches = Batches(work, "test")

    async def call(name: str) -> int:
        context._set_request_context(request_id=name)
        return await batches.result(len(name))

    calls = [asyncio.create_task(call("abc-1"))]
    await begun(work)
    calls += [asyncio.create_task(call(name)) for name in ("abc-2", "abc-3")]
    await asyncio.sleep(0)
    work.may_go_on.set()
    await asyncio.gather(*calls)
    assert work.ids == ["abc-1", "abc-2,abc-3"]
