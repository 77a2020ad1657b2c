from __future__ import annotations

import asyncio
from contextlib import aclosing

import asyncpg
import psycopg
import pytest

from db.pool import Database
from tests.support.postgres import on_database
from tests.support.waiting import PATIENCE_S, until, wait_until


@pytest.fixture
def database(direct_database: Database) -> Database:
    """A pool that listens."""
    return direct_database


def run(dsn: str, *statements: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


END_LISTENERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND query LIKE 'LISTEN%'
"""


async def test_a_commit_wakes_and_several_wake_once(
    database: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    connect = database._connect

    async def connect_and_count() -> asyncpg.Connection:
        connection = await connect()
        await connection.add_listener("bell", lambda *_: heard.append("bell"))
        return connection

    monkeypatch.setattr(database, "_connect", connect_and_count)
    async with aclosing(database.notifications("bell")) as wake_ups, asyncio.timeout(PATIENCE_S):
        await anext(wake_ups)
        run(dsn, "NOTIFY bell", "NOTIFY bell", "NOTIFY other")
        await until(lambda: len(heard) == 2)
        await anext(wake_ups)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(wake_ups), 0.2)


async def test_what_comes_while_the_consumer_works_wakes_it_again(database: Database, dsn: str) -> None:
    seen = 0
    async with aclosing(database.notifications("bell")) as wake_ups, asyncio.timeout(PATIENCE_S):
        async for _ in wake_ups:
            seen += 1
            if seen == 3:
                break
            run(dsn, "NOTIFY bell")
            await asyncio.sleep(0.05)


async def test_a_lost_connection_wakes_and_is_replaced(
    database: Database, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.listen.POLL_SECONDS", 0.05)
    async with aclosing(database.notifications("bell")) as wake_ups, asyncio.timeout(PATIENCE_S):
        await anext(wake_ups)
        run(dsn, END_LISTENERS)
        await anext(wake_ups)
        await anext(wake_ups)
        run(dsn, "NOTIFY bell")
        await anext(wake_ups)


async def test_without_a_server_to_listen_to_it_polls(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.listen.POLL_SECONDS", 0.01)
    # Not the fixture, which may still have a connection that has listened.
    database = await Database.connect(dsn, pool_size=1)
    server = on_database(dsn, "postgres")
    name = await database.fetchval("SELECT current_database()")
    run(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    async with aclosing(database.notifications("bell")) as wake_ups, asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await anext(wake_ups)
        run(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await anext(wake_ups)
        run(dsn, "NOTIFY bell")
        await anext(wake_ups)
    await database.close()


async def test_behind_a_transaction_mode_pooler_the_clock_wakes(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server has one port only, so that port stands in for the pooler's."""
    monkeypatch.setattr("db.pool.TRANSACTION_POOLER_PORTS", frozenset({5432}))
    database = await Database.connect(dsn, pool_size=1)
    async with aclosing(database.notifications("bell")) as wake_ups, asyncio.timeout(PATIENCE_S):
        await anext(wake_ups)
        await anext(wake_ups)
    assert await database.fetchval(
        "SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        " AND datname = current_database()"
    )
    await database.close()


async def test_ending_it_ends_its_connection(database: Database) -> None:
    listening = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with aclosing(database.notifications("bell")) as wake_ups:
        await anext(wake_ups)
        assert await database.fetchval(listening) == 1
    await wait_until(database, f"SELECT 0 = ({listening})")
