"""Copies to a server that goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import numpy as np
import psycopg
import pytest

from db.copies import copy_records, while_connected
from db.copy_arrays import write_rows
from db.pool import Database
from semblance.errors import DatabaseError
from tests.support.waiting import PATIENCE_S

ROWS = 40_000
"""With 100 bytes each, several times what the driver and the system hold back."""


async def staged(connection: asyncpg.Connection) -> None:
    await connection.execute("CREATE TEMPORARY TABLE staged (number int, text text) ON COMMIT DROP")


def records(dsn: str, pid: int) -> Iterator[tuple[int, str]]:
    """Rows in whose middle the server ends the connection."""
    for number in range(ROWS):
        if number == ROWS // 2:
            with psycopg.connect(dsn, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        yield number, "x" * 100


async def test_a_copy_whose_connection_is_lost_ends(database: Database, dsn: str) -> None:
    with pytest.raises(DatabaseError, match="cannot be reached: connection was closed"):
        async with asyncio.timeout(PATIENCE_S), database.transaction() as connection:
            await staged(connection)
            await copy_records(connection, "staged", records(dsn, connection.get_server_pid()))
    await database.ping()


async def test_a_copy_of_a_task_that_is_cancelled_ends_as_cancelled(database: Database) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as connection:
            begun.set()
            await while_connected(connection, asyncio.Event().wait())

    task = asyncio.create_task(work())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.ping()


async def test_what_is_copied_is_all_there(database: Database) -> None:
    async with database.transaction() as connection:
        await staged(connection)
        await copy_records(connection, "staged", [(1, "one"), (2, "two")])
        await copy_records(connection, "staged", [(3,)], ["number"])
        rows = await connection.fetch("SELECT number, text FROM staged ORDER BY number")
        assert [tuple(row) for row in rows] == [(1, "one"), (2, "two"), (3, None)]
        await connection.execute("CREATE TEMPORARY TABLE numbers (number float8) ON COMMIT DROP")
        await write_rows(connection, "numbers", [("number", np.arange(ROWS, dtype=np.float64))])
        assert await connection.fetchval("SELECT sum(number) FROM numbers") == ROWS * (ROWS - 1) / 2
