"""The driver's pool, with its connections at hand between two statements."""

from __future__ import annotations

import time
from typing import Final

import asyncpg

_AT_HAND_S: Final = 60.0
"""Longest time in which a connection does not go back to the driver's pool. That pool closes what is not
needed, and replaces a connection after 50,000 statements."""


class ConnectionPool:
    """Lends the connections of a pool, which one task uses at a time.

    What a connection costs in asyncpg's pool (a task, three timers and a proxy each time) is more than what
    the driver spends on a small statement. So a connection on which all went well is at hand for the next
    task. Any other goes back to the pool, which waits for a cancelled statement, rolls back and replaces
    what is lost. So do all while a task waits for the pool, which serves those that wait in their order.
    """

    def __init__(self, pool: asyncpg.Pool) -> None:
        """pool: used by this alone."""
        self._pool = pool
        self._at_hand: list[asyncpg.Connection] = []
        self._taken: dict[asyncpg.Connection, float] = {}
        """When each connection that is not in the pool was taken from it."""
        self._waiting = 0
        self._is_closing = False

    async def acquire(self, *, seconds: float) -> asyncpg.Connection:
        """A connection, which the caller releases. seconds: the longest wait. Raises TimeoutError, and what
        the driver raises where it opens a connection."""
        while self._at_hand:
            connection = self._at_hand.pop()
            if _is_open(connection):
                return connection
            await self._give_back(connection)
        self._waiting += 1
        try:
            connection = await self._pool.acquire(timeout=seconds)
        finally:
            self._waiting -= 1
        self._taken[connection] = time.monotonic()
        return connection

    async def release(self, connection: asyncpg.Connection, *, in_order: bool) -> None:
        """End the use of a connection. in_order: whether its last statement or transaction ended without an
        error and without being cancelled."""
        oldest = time.monotonic() - _AT_HAND_S
        if in_order and not self._waiting and not self._is_closing and self._taken[connection] > oldest:
            self._at_hand.append(connection)
        else:
            await self._give_back(connection)
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

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        del self._taken[connection]
        await self._pool.release(connection)


def _is_open(connection: asyncpg.Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        # The pool has taken it out of its proxy.
        return False
