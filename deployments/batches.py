"""Batches of what waits: a call that arrives while others are worked on joins those that wait, and none waits
for others to come.

`serve.batch` collects for a fixed time instead, whether something runs or not: a photo on an idle replica
waits for nothing, and on a busy one each becomes a batch of its own as soon as the time is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from deployments.replica import in_batch, serve_request_id

MOST_CALLS: Final = 16
"""Most calls in a batch."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class _Call(Generic[_Item, _Result]):
    item: _Item
    answer: asyncio.Future[_Result]
    request_id: str
    context: Context


class Batches(Generic[_Item, _Result]):
    """Works on the items of several calls at once, on a thread of its own, one batch after the other. Used
    from one event loop."""

    def __init__(self, work: Callable[[Sequence[_Item]], Sequence[_Result]], name: str) -> None:
        """work: gives one result for each item, in order. name: of the thread."""
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: deque[_Call[_Item, _Result]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def result(self, item: _Item) -> _Result:
        """The result of one item. Raises what `work` raises for its batch.

        The batch runs in the context of its first call: traces show it there.
        """
        loop = asyncio.get_running_loop()
        call: _Call[_Item, _Result] = _Call(item, loop.create_future(), serve_request_id(), copy_context())
        self._waiting.append(call)
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await call.answer

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._answer(batch)
        finally:
            self._running = None

    def _next(self) -> list[_Call[_Item, _Result]]:
        """The calls to answer next, without those that were given up."""
        batch: list[_Call[_Item, _Result]] = []
        while self._waiting and len(batch) < MOST_CALLS:
            call = self._waiting.popleft()
            if not call.answer.done():
                batch.append(call)
        return batch

    async def _answer(self, batch: Sequence[_Call[_Item, _Result]]) -> None:
        def work() -> Sequence[_Result]:
            with in_batch(call.request_id for call in batch):
                return self._work([call.item for call in batch])

        loop = asyncio.get_running_loop()
        try:
            results = await loop.run_in_executor(self._thread, batch[0].context.run, work)
        except Exception as exc:
            for call in batch:
                if not call.answer.done():
                    call.answer.set_exception(exc)
            return
        for call, result in zip(batch, results, strict=True):
            if not call.answer.done():
                call.answer.set_result(result)
