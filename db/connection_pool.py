"""The driver's pool, with its connections at hand between two statements."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Final

import asyncpg

_AT_HAND_S: Final = 60.0
"""Longest time in which a connection does not go back to the driver's pool. That pool closes what is not
needed, and replaces a connection after 50,000 statements."""


class ConnectionPool:
    """Lends the connections of a pool, which one task uses at a time.

    What a connection costs in asyncpg's pool (a task, three timers and a proxy each time) is more than what
    the driver spends on a small statement. So a connection on which all went well goes to the task that has
    waited longest, or is at hand for the next one. Any other goes back to the pool, which waits for a
    cancelled statement, rolls back and replaces what is lost.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        """pool: used by this alone."""
        self._pool = pool
        self._at_hand: list[asyncpg.Connection] = []
        self._taken: dict[asyncpg.Connection, float] = {}
        """When each connection that is not in the pool was taken from it."""
        self._taking = 0
        self._waiting: deque[asyncio.Future[asyncpg.Connection | None]] = deque()
        """Of each task that waits: a connection, or None if the pool has room for it to take one."""
        self._is_closing = False

    async def acquire(self, *, seconds: float) -> asyncpg.Connection:
        """A connection, which the caller releases. seconds: the longest wait. Raises TimeoutError, and what
        the driver raises where it opens a connection."""
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            await self._give_back(connection)
        if self._has_room():
            return await self._take(seconds)
        async with asyncio.timeout(seconds):
            while True:
                connection = await self._wait()
                if connection is not None and _is_open(connection):
                    return connection
                if connection is not None:
                    await self._give_back(connection)
                if self._has_room():
                    return await self._take(seconds)

    async def release(self, connection: asyncpg.Connection, *, in_order: bool) -> None:
        """End the use of a connection. in_order: whether its last statement or transaction ended without an
        error and without being cancelled."""
        oldest = time.monotonic() - _AT_HAND_S
        if not in_order or self._is_closing or self._taken[connection] <= oldest:
            await self._give_back(connection)
        elif not self._hand_on(connection):
            self._at_hand.append(connection)
        if self._at_hand and self._taken[self._at_hand[0]] <= oldest:
            await self._give_back(self._at_hand.pop(0))

    async def close(self) -> None:
        """Wait until all connections are released, then close them."""
        self._is_closing = True
        while self._at_hand:
            await self._give_back(self._at_hand.pop())
        await self._pool.close()

    def terminate(self) -> None:
        """Close all connections at once."""
        self._is_closing = True
        self._pool.terminate()

    @property
    def size(self) -> int:
        """How many connections are open, whether they are in use or not."""
        return int(self._pool.get_size())

    def _has_room(self) -> bool:
        """Whether the driver's pool has, or can open, a connection."""
        return len(self._taken) + self._taking < int(self._pool.get_max_size())

    async def _take(self, seconds: float) -> asyncpg.Connection:
        """A connection of the driver's pool."""
        self._taking += 1
        connection = None
        try:
            connection = await self._pool.acquire(timeout=seconds)
            self._taken[connection] = time.monotonic()
            return connection
        finally:
            self._taking -= 1
            if connection is None:
                self._hand_on(None)

    async def _wait(self) -> asyncpg.Connection | None:
        """What is handed on to this task."""
        handed = asyncio.get_running_loop().create_future()
        self._waiting.append(handed)
        try:
            return await handed
        except asyncio.CancelledError:
            if handed.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(handed)
            else:
                # It was handed on just before.
                self._pass_on(handed.result())
            raise

    def _pass_on(self, connection: asyncpg.Connection | None) -> None:
        """Give another task what a cancelled one was handed."""
        if self._is_closing and connection is not None:
            del self._taken[connection]
            connection.terminate()
        elif not self._hand_on(connection) and connection is not None:
            self._at_hand.append(connection)

    def _hand_on(self, connection: asyncpg.Connection | None) -> bool:
        """Give the task that has waited longest a connection, or tell it that there is room for one. Returns
        whether a task waits."""
        while self._waiting:
            handed = self._waiting.popleft()
            if not handed.done():
                handed.set_result(connection)
                return True
        return False

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        del self._taken[connection]
        try:
            await self._pool.release(connection)
        finally:
            self._hand_on(None)


def _is_open(connection: asyncpg.Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        # The pool has taken it out of its proxy.
        return False
