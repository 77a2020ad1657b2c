from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import asyncpg
import numpy as np
import psycopg
import pytest
from psycopg import sql

from db.celebrities import Celebrities
from db.migrate import upgrade
from db.pool import Database
from matching.celebrity_search import CelebritySearch
from semblance.errors import ConfigurationError, DatabaseError, QueryError, ReferenceGoneError
from tests.support.postgres import on_database
from tests.support.rows import DIGEST, gallery
from tests.support.waiting import PATIENCE_S


async def test_a_server_that_answers(database: Database) -> None:
    await database.ping()


async def test_a_transaction_is_committed_or_rolled_back(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("UPDATE system_settings SET value = '0.6' WHERE key = 'match_threshold'")
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await connection.execute("DELETE FROM system_settings")
            raise ZeroDivisionError
    assert await database.fetchval("SELECT value FROM system_settings WHERE key = 'match_threshold'") == 0.6


async def test_a_cancelled_task_ends_as_cancelled_even_if_its_rollback_fails(
    database: Database, dsn: str
) -> None:
    """A loop that goes on after errors of the database would otherwise go on for ever."""
    begun = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as connection:
            own = connection.get_server_pid()
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                with psycopg.connect(dsn, autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s, 10000)", [own])

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_readonly_transaction_refuses_to_write(database: Database) -> None:
    with pytest.raises(QueryError, match="read-only"):
        async with database.transaction(readonly=True) as connection:
            await connection.execute("DELETE FROM system_settings")


async def test_json_and_vectors_pass_unchanged(database: Database) -> None:
    value = {"weights": [0.1, 2, None, True], "naïve": {"“": "”"}}
    assert await database.fetchval("SELECT $1::jsonb", value) == value
    vector = np.arange(512, dtype=np.float32) / 7
    found = await database.fetchval("SELECT $1::vector(512)", vector)
    np.testing.assert_array_equal(found.to_numpy(), vector)


async def test_invalid_json_is_refused(database: Database) -> None:
    with pytest.raises(QueryError):
        await database.fetchval("SELECT $1::jsonb", float("nan"))


async def test_pgvector_may_live_in_a_schema_that_is_not_searched(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions; CREATE EXTENSION vector WITH SCHEMA extensions")
    await asyncio.to_thread(upgrade, empty_dsn)
    database = await Database.connect(empty_dsn, pool_size=2)
    rows = gallery(20)
    assert (await Celebrities(database).copy_in(rows)).inserted == 20
    hits = await CelebritySearch(database).nearest(rows[4].embedding, pack_digest=DIGEST, limit=3)
    assert hits[0].celebrity_id == rows[4].id
    await database.close()


async def test_behind_a_transaction_mode_pooler_no_statement_outlives_its_transaction(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server has one port only, so that port stands in for the pooler's."""
    monkeypatch.setattr("db.pool.TRANSACTION_POOLER_PORTS", frozenset({5432}))
    database = await Database.connect(dsn, pool_size=1)
    await Celebrities(database).copy_in(gallery(20))
    assert len(await CelebritySearch(database).nearest(gallery(1)[0].embedding, pack_digest=DIGEST)) == 10
    # In a statement on its own, both are the same instant.
    assert await database.fetchval("SELECT transaction_timestamp() < statement_timestamp()")
    assert await database.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''") == []
    await database.close()


async def test_an_unmigrated_database_says_what_to_do(empty_dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="semblance migrate"):
        await Database.connect(empty_dsn)


async def test_a_table_that_is_missing_says_what_to_do(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="semblance migrate"):
        await database.fetch("SELECT * FROM not_yet_there")


@pytest.mark.parametrize("error", ["SELEC 1", "INSERT INTO system_settings VALUES ('x')"])
async def test_a_refused_statement_is_an_internal_error(database: Database, error: str) -> None:
    with pytest.raises(QueryError) as caught:
        await database.execute(error)
    assert isinstance(caught.value.__cause__, asyncpg.PostgresError)


@pytest.mark.parametrize("query", ["SELECT $1::int", "SELECT 'secret'::text::int WHERE $1::text <> ''"])
async def test_a_value_of_a_wrong_type_is_an_internal_error_and_is_not_shown(
    database: Database, query: str
) -> None:
    with pytest.raises(QueryError, match="refused a value") as caught:
        await database.fetchval(query, "secret")
    assert "secret" not in "".join(traceback.format_exception(caught.value, limit=0))


async def test_a_row_that_refers_to_what_is_gone_is_told_from_a_mistake(database: Database) -> None:
    with pytest.raises(ReferenceGoneError) as caught:
        await database.execute("INSERT INTO faces (profile_id, image_path) VALUES (gen_random_uuid(), 'x')")
    assert isinstance(caught.value.__cause__, asyncpg.ForeignKeyViolationError)
    assert "not present" not in "".join(traceback.format_exception(caught.value, limit=0))


async def test_a_deadlock_is_passing(database: Database) -> None:
    statement = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$"
    with pytest.raises(DatabaseError, match="for the sake of others"):
        await database.execute(statement)


async def test_no_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError) as caught:
        await Database.connect(f"postgresql://postgres:hunter2@/semblance?host={tmp_path}")
    assert "hunter2" not in str(caught.value)


async def test_an_unknown_database_is_unavailable(postgres: str) -> None:
    with pytest.raises(DatabaseError, match="nowhere"):
        await Database.connect(on_database(postgres, "nowhere"))


async def test_an_invalid_dsn_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        await Database.connect("postgres//semblance:hunter2@host/name")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_lost_connection_is_unavailable_and_the_pool_recovers(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    with pytest.raises(DatabaseError) as caught:
        async with database.transaction() as connection:
            with psycopg.connect(dsn, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await connection.fetchval("SELECT 1")
    assert not isinstance(caught.value, QueryError)
    assert caught.value.message.startswith("The database cannot be reached: ")
    await database.ping()
    await database.close()


async def test_an_exhausted_pool_is_unavailable(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await Database.connect(dsn, pool_size=1)
    async with database.transaction():
        with (
            monkeypatch.context() as patched,
            pytest.raises(DatabaseError, match="cannot be reached"),
        ):
            patched.setattr("db.pool._ACQUIRE_SECONDS", 0.1)
            await database.ping()
    await database.ping()
    await database.close()


async def test_a_connection_serves_one_task_after_another(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    many = await asyncio.gather(*(database.fetchval("SELECT pg_backend_pid()") for _ in range(20)))
    async with database.transaction() as connection:
        assert {*many} == {connection.get_server_pid()}
    await database.close()


async def test_a_task_that_waits_for_the_pool_is_served_before_later_ones(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    order: list[str] = []

    async def ask(name: str) -> None:
        await database.fetchval("SELECT 1")
        order.append(name)

    async with database.transaction():
        waiting = asyncio.create_task(ask("first"))
        await asyncio.sleep(0)
    await asyncio.gather(waiting, ask("second"))
    assert order == ["first", "second"]
    await database.close()


async def test_a_connection_handed_to_a_task_that_was_cancelled_goes_to_the_next(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    async with database.transaction():
        waiting = [asyncio.create_task(database.fetchval("SELECT 1")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    # It has the connection now, but has not run yet.
    waiting[1].cancel()
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting[2] == 1
    await database.ping()
    await database.close()


async def test_a_task_that_comes_while_a_connection_is_repaired_takes_no_place_of_one_that_waits(
    dsn: str,
) -> None:
    database = await Database.connect(dsn, pool_size=1)
    cancelled = asyncio.create_task(database.fetchval("SELECT pg_sleep(30)"))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(database.ping())
    await asyncio.sleep(0)
    cancelled.cancel()
    # The connection is on its way back to the driver's pool.
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(waiting, database.ping())
    await database.close()


async def test_a_connection_handed_to_a_task_that_was_cancelled_does_not_keep_the_pool_open(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    async with database.transaction():
        waiting = asyncio.create_task(database.ping())
        await asyncio.sleep(0)
    # It has the connection now, but has not run yet.
    waiting.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await database._pool.close()


async def test_tasks_that_wait_are_served_when_connections_end(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=2)

    async def end() -> None:
        with suppress(DatabaseError):
            await database.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")

    async with asyncio.timeout(PATIENCE_S):
        answers = await asyncio.gather(
            *(end() if number % 3 == 0 else database.fetchval("SELECT 1") for number in range(30))
        )
        assert [answer for answer in answers if answer is not None] == [1] * 20
        await asyncio.gather(*(database.ping() for _ in range(6)))
    await database.close()


async def test_what_is_logged_of_a_server_that_is_away_is_what_its_clients_say(
    empty_dsn: str, postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver must not open connections by itself, which it reports with a traceback each time."""
    await asyncio.to_thread(upgrade, empty_dsn)
    database = await Database.connect(empty_dsn, pool_size=2)
    name = await database.fetchval("SELECT current_database()")
    with psycopg.connect(postgres, autocommit=True) as other:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with pytest.raises(DatabaseError):
            async with database.transaction() as connection:
                other.execute(allow.format(sql.Identifier(name), False))
                await connection.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
        for _ in range(3):
            with pytest.raises(DatabaseError, match="not currently accepting connections"):
                await database.ping()
        other.execute(allow.format(sql.Identifier(name), True))
    await database.ping()
    await database.close()
    assert not [record for record in caplog.records if record.name.startswith("asyncpg")]


async def test_tasks_that_wait_when_the_server_goes_are_all_told(empty_dsn: str, postgres: str) -> None:
    """They see it one after the other, as each tries to open the only connection."""
    await asyncio.to_thread(upgrade, empty_dsn)
    database = await Database.connect(empty_dsn, pool_size=1)
    name = await database.fetchval("SELECT current_database()")
    with psycopg.connect(postgres, autocommit=True) as other:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with pytest.raises(DatabaseError):
            async with database.transaction() as connection:
                waiting = [asyncio.create_task(database.ping()) for _ in range(4)]
                await asyncio.sleep(0)
                other.execute(allow.format(sql.Identifier(name), False))
                await connection.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")
        async with asyncio.timeout(PATIENCE_S):
            told = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(error, DatabaseError) for error in told)
        other.execute(allow.format(sql.Identifier(name), True))
    await database.ping()
    await database.close()


async def test_closing_refuses_those_that_wait(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    async with database.transaction():
        waiting = [asyncio.create_task(database.ping()) for _ in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        told = await asyncio.gather(*waiting, return_exceptions=True)
    await closing
    assert [type(error) for error in told] == [DatabaseError] * 3


async def test_a_cancelled_statement_leaves_a_connection_that_works(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    await database.ping()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await database.fetchval("SELECT pg_sleep(30)")
        await database.ping()
    await database.close()


async def test_connections_at_hand_that_the_server_ended_are_replaced(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=3)
    ended: list[asyncio.Event] = []
    async with AsyncExitStack() as at_once:
        for _ in range(3):
            connection = await at_once.enter_async_context(database.transaction())
            ended.append(asyncio.Event())
            connection.add_termination_listener(lambda _, event=ended[-1]: event.set())
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await asyncio.gather(*(event.wait() for event in ended))
    await asyncio.gather(*(database.ping() for _ in range(6)))
    await database.close()


async def test_connections_return_to_the_driver_after_a_while(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which ends those that are not needed."""
    database = await Database.connect(dsn, pool_size=3)
    idle = database._pool._pool.get_idle_size
    async with AsyncExitStack() as at_once:
        for _ in range(3):
            await at_once.enter_async_context(database.transaction())
    assert idle() == 0
    monkeypatch.setattr("db.connection_pool._AT_HAND_S", 0.0)
    for number in (2, 3):
        await database.ping()
        assert idle() == number
    await database.close()


async def test_closing_ends_what_does_not_end(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.pool._CLOSE_SECONDS", 0.1)
    database = await Database.connect(dsn, pool_size=1)
    with pytest.raises(DatabaseError, match="closed"):
        async with database.transaction():
            await database.close()


async def test_a_closed_pool_is_unavailable(make_database: Callable[[str], str]) -> None:
    database = await Database.connect(make_database("semblance"))
    await database.close()
    with pytest.raises(DatabaseError):
        await database.ping()
