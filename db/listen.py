"""Wake-ups when another process commits, by PostgreSQL's LISTEN."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg

logger = logging.getLogger(__name__)

SAFETY_SECONDS = 10.0
"""Longest time without a wake-up. Also how often the connection is checked, because a network can lose it
without either side noticing."""

POLL_SECONDS = 1.0
"""Time between wake-ups while there is no connection that listens."""

_CLOSE_SECONDS = 2.0
_PING_SECONDS = 5.0

_LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


async def wake_ups(
    connect: Callable[[], Awaitable[asyncpg.Connection]], channel: str
) -> AsyncGenerator[None]:
    """As `Database.notifications`, over connections that `connect` opens."""
    while True:
        try:
            async with _listening(connect, channel) as (connection, woken):
                while not connection.is_closed():
                    # Before the consumer reads: a notification that comes meanwhile wakes it again.
                    woken.clear()
                    yield
                    try:
                        async with asyncio.timeout(SAFETY_SECONDS):
                            await woken.wait()
                    except TimeoutError:
                        await connection.fetchval("SELECT 1", timeout=_PING_SECONDS)
        except _LOST as exc:
            logger.warning("not listening on %s, polling meanwhile: %s", channel, type(exc).__name__)
        yield
        await asyncio.sleep(POLL_SECONDS)


async def poll() -> AsyncGenerator[None]:
    """Wake-ups at fixed intervals."""
    while True:
        yield
        await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _listening(
    connect: Callable[[], Awaitable[asyncpg.Connection]], channel: str
) -> AsyncIterator[tuple[asyncpg.Connection, asyncio.Event]]:
    """A connection that listens, and an event that is set by notifications and by the connection's end."""
    connection = await connect()
    try:
        woken = asyncio.Event()
        connection.add_termination_listener(lambda _: woken.set())
        await connection.add_listener(channel, lambda *_: woken.set())
        yield connection, woken
    finally:
        with suppress(*_LOST):
            await connection.close(timeout=_CLOSE_SECONDS)
