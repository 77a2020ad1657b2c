"""Calls of a deployment that share what a call costs: those that would wait for others go together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

asker_var: ContextVar[Hashable] = ContextVar("asker", default=None)
"""Who asks for what is done in this context. Those whose items wait take turns."""


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_Item, _Result]):
    item: _Item
    answer: asyncio.Future[_Result]
    context: Context


class JoinedCalls(Generic[_Item, _Result]):
    """Sends items as they come while fewer than `calls` calls are in progress. The others wait, and the next
    call takes as many of them as fit: one of each asker in turn, those of one asker in order. So nobody waits
    for all that another has sent. Used from one event loop."""

    def __init__(
        self,
        send: Callable[[Sequence[_Item]], Awaitable[Sequence[_Result]]],
        fit: Callable[[Sequence[_Item]], bool],
        *,
        calls: int,
    ) -> None:
        """
        Args:
            send: one call; gives one result for each item, in order.
            fit: whether these items may share a call. A single one always may be sent.
            calls: most calls in progress at once.
        """
        self._send = send
        self._fit = fit
        self._most_calls = calls
        self._queues: dict[Hashable, deque[_Waiting[_Item, _Result]]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def result(self, item: _Item) -> _Result:
        """The result of one item. Raises what `send` raises for its call.

        A call runs in the context of its first item, and goes on if that is given up: logs and traces show it
        there.
        """
        loop = asyncio.get_running_loop()
        waiting: _Waiting[_Item, _Result] = _Waiting(item, loop.create_future(), copy_context())
        self._queues.setdefault(asker_var.get(), deque()).append(waiting)
        # Not at once: those whose photos were found in one call go on in this turn of the loop.
        loop.call_soon(self._start)
        return await waiting.answer

    def _start(self) -> None:
        while len(self._calls) < self._most_calls and (batch := self._next()):
            loop = asyncio.get_running_loop()
            call = loop.create_task(self._answer(batch), context=batch[0].context)
            self._calls.add(call)
            call.add_done_callback(self._ended)

    def _ended(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._start()

    def _next(self) -> list[_Waiting[_Item, _Result]]:
        """The next ones that fit, without those that were given up."""
        batch: list[_Waiting[_Item, _Result]] = []
        while self._queues:
            asker, queue = next(iter(self._queues.items()))
            first = queue[0]
            if not first.answer.done():
                if batch and not self._fit([*(each.item for each in batch), first.item]):
                    break
                batch.append(first)
            queue.popleft()
            # To the end, behind the others.
            del self._queues[asker]
            if queue:
                self._queues[asker] = queue
        return batch

    async def _answer(self, batch: Sequence[_Waiting[_Item, _Result]]) -> None:
        try:
            results = await self._send([each.item for each in batch])
            answered = list(zip(batch, results, strict=True))
        except asyncio.CancelledError:
            for each in batch:
                each.answer.cancel()
            raise
        except Exception as exc:
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(exc)
            return
        for each, result in answered:
            if not each.answer.done():
                each.answer.set_result(result)
