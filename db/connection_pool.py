"""The driver's pool, with its connections handed from one statement to the next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Final, TypeAlias

import asyncpg

_AT_HAND_S: Final = 60.0
"""Longest time in which a connection does not go back to the driver's pool. That pool closes what is not
needed, and replaces a connection after 50,000 statements."""

_Place: TypeAlias = None
"""Instead of a connection: one may be taken from the driver's pool."""


class ConnectionPool:
    """Lends the connections of a pool, which one task uses at a time.

    What a connection costs in asyncpg's pool (a task, three timers and a proxy each time) is more than what
    the driver spends on a small statement. So a connection on which all went well goes to the task that has
    waited longest, or is at hand for the next one. Any other goes back to the pool, which waits for a
    cancelled statement, rolls back and replaces what is lost; the one that waits then takes another from
    there.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        """pool: used by this alone."""
        self._pool = pool
        self._at_hand: list[asyncpg.Connection] = []
        self._taken: dict[asyncpg.Connection, float] = {}
        """When each connection that is not in the pool was taken from it."""
        self._promised = 0
        """Connections that tasks are about to take from it."""
        self._waiting: deque[asyncio.Future[asyncpg.Connection | _Place]] = deque()
        self._is_closing = False

    async def acquire(self, *, seconds: float) -> asyncpg.Connection:
        """A connection, which the caller releases. seconds: the longest wait. Raises TimeoutError, and what
        the driver raises where it opens a connection."""
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            await self._give_back(connection)
        until = time.monotonic() + seconds
        if self._is_closing or len(self._taken) + self._promised < self._pool.get_max_size():
            self._promised += 1
        else:
            connection = await self._handed(seconds)
            if connection is not None:
                return connection
        return await self._take(until - time.monotonic())

    async def release(self, connection: asyncpg.Connection, *, in_order: bool) -> None:
        """End the use of a connection. in_order: whether its last statement or transaction ended without an
        error and without being cancelled."""
        oldest = time.monotonic() - _AT_HAND_S
        if in_order and not self._is_closing and self._taken[connection] > oldest:
            self._pass_on(connection)
        else:
            await self._give_back(connection)
        if self._at_hand and self._taken[self._at_hand[0]] <= oldest:
            await self._give_back(self._at_hand.pop(0))

    async def close(self) -> None:
        """Wait until all connections are released, then close them."""
        self._close()
        while self._at_hand:
            await self._give_back(self._at_hand.pop())
        await self._pool.close()

    def terminate(self) -> None:
        """Close all connections at once."""
        self._close()
        self._pool.terminate()

    @property
    def size(self) -> int:
        """How many connections are open, whether they are in use or not."""
        return int(self._pool.get_size())

    async def _handed(self, seconds: float) -> asyncpg.Connection | _Place:
        """What the first task that is done passes on."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[asyncpg.Connection | _Place] = loop.create_future()
        self._waiting.append(waiting)
        end = loop.call_later(seconds, _give_up, waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                if connection := waiting.result():
                    await self.release(connection, in_order=True)
                else:
                    self._refuse()
            raise
        finally:
            end.cancel()

    async def _take(self, seconds: float) -> asyncpg.Connection:
        """Take a promised connection from the driver's pool."""
        try:
            connection = await self._pool.acquire(timeout=seconds)
        except BaseException:
            self._refuse()
            raise
        self._promised -= 1
        self._taken[connection] = time.monotonic()
        return connection

    def _pass_on(self, connection: asyncpg.Connection) -> None:
        if waiting := self._next():
            waiting.set_result(connection)
        else:
            self._at_hand.append(connection)

    def _refuse(self) -> None:
        """Leave to the next task the place that this one no longer wants."""
        self._promised -= 1
        self._promise()

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        try:
            await self._pool.release(connection)
        finally:
            # Not before: its place belongs to the task that has waited longest, not to one that comes
            # meanwhile. With one place too many a task would wait in the driver's pool, where what others
            # pass on does not go.
            del self._taken[connection]
            self._promise()

    def _promise(self) -> None:
        if waiting := self._next():
            self._promised += 1
            waiting.set_result(None)

    def _next(self) -> asyncio.Future[asyncpg.Connection | _Place] | None:
        """The task that has waited longest, of those that have not given up."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                return waiting
        return None

    def _close(self) -> None:
        # The driver's pool refuses those that wait.
        self._is_closing = True
        for _ in range(len(self._waiting)):
            self._promise()


def _give_up(waiting: asyncio.Future[asyncpg.Connection | _Place]) -> None:
    with suppress(asyncio.InvalidStateError):
        waiting.set_exception(TimeoutError())


def _is_open(connection: asyncpg.Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        # The pool has taken it out of its proxy.
        return False
