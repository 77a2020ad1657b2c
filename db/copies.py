"""Copies of many rows to the server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg


async def copy_records(
    connection: asyncpg.Connection,
    table: str,
    records: Iterable[Sequence[object]],
    columns: Sequence[str] | None = None,
) -> None:
    """Append records to a temporary table. columns: all of the table by default."""
    copying = connection.copy_records_to_table(table, records=records, columns=columns, schema_name="pg_temp")
    await while_connected(connection, copying)


async def while_connected(connection: asyncpg.Connection, copying: Coroutine[Any, Any, object]) -> None:
    """A copy to the server, which fails when its connection is lost. By itself it would wait without end: the
    driver waits for room in the buffer of the connection, and is not told that there will be none."""
    task = asyncio.ensure_future(copying)

    def end(_: object) -> None:
        task.cancel()

    connection.add_termination_listener(end)
    try:
        await task
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if own is not None and own.cancelling():
            raise
        raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of a copy") from None
    finally:
        # A connection that is lost has left the pool, and takes no call.
        with suppress(asyncpg.InterfaceError):
            connection.remove_termination_listener(end)
