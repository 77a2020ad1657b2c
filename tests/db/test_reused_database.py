"""A test leaves nothing in the database for the next one."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from db.pool import Database
from tests.support.reused_database import ReusedDatabase
from tests.support.rows import DIGEST, add_face, add_match, add_profile, embeddings
from tests.support.waiting import PATIENCE_S


@pytest.fixture
def reused(fresh_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReusedDatabase]:
    monkeypatch.setattr("tests.support.reused_database._LEAVING_SECONDS", PATIENCE_S)
    found = ReusedDatabase(fresh_dsn)
    yield found
    found.close()


def contents(dsn: str) -> dict[str, list[object]]:
    """The rows of every table, and where every sequence stands."""
    with psycopg.connect(dsn) as connection:
        names = connection.execute(
            """
            SELECT '*', format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
            UNION ALL
            SELECT 'last_value, is_called', format('%I.%I', schemaname, sequencename) FROM pg_sequences
            """
        ).fetchall()
        return {
            name: list(connection.execute(f"SELECT {columns} FROM {name}").fetchall())
            for columns, name in names
        }


def test_rows_settings_and_numbers_are_as_they_were(reused: ReusedDatabase) -> None:
    before = contents(reused.dsn)
    with psycopg.connect(reused.dsn, autocommit=True) as connection:
        faces = [
            add_face(
                connection,
                add_profile(connection, name="Ada"),
                embedding=str(vector.tolist()),
                pack_digest=DIGEST,
            )
            for vector in embeddings(20)
        ]
        add_match(connection, faces[0], faces[1])
        connection.execute("UPDATE system_settings SET value = '0.25' WHERE key = 'match_threshold'")
        sizes = connection.execute("SELECT pg_relation_size('faces_embedding_half_idx')").fetchone()
    changed = contents(reused.dsn)
    assert len([name for name, rows in before.items() if changed[name] != rows]) > 5
    assert reused.restore()
    assert contents(reused.dsn) == before
    with psycopg.connect(reused.dsn) as connection:
        left = connection.execute("SELECT pg_relation_size('faces_embedding_half_idx')").fetchone()
    assert left is not None
    assert sizes is not None
    assert left < sizes


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE faces ADD more integer",
        "ALTER TABLE schools DROP COLUMN aliases CASCADE",
        "ALTER TABLE faces ALTER COLUMN image_path DROP NOT NULL",
        "ALTER TABLE faces DISABLE TRIGGER ALL",
        "ANALYZE profiles",
        "COMMENT ON TABLE faces IS 'mine'; REVOKE SELECT ON faces FROM semblance_service",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX ON faces (image_path)",
        "CREATE POLICY mine ON faces USING (true)",
        "CREATE TABLE mine (it int)",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 100', current_database()); END $$",
        "DROP INDEX idx_faces_image_hash",
        "GRANT SELECT (image_path) ON faces TO anon",
        "INSERT INTO events SELECT FROM generate_series(1, 0); TRUNCATE events",
        "INSERT INTO schools (name) SELECT n || repeat('x', 400) FROM generate_series(1, 2000) AS n",
    ],
)
def test_a_database_that_cannot_be_restored_is_not_used_again(reused: ReusedDatabase, sql: str) -> None:
    with psycopg.connect(reused.dsn, autocommit=True) as connection:
        connection.execute(sql)
    assert not reused.restore()


def test_a_database_with_a_leftover_session_is_not_used_again(
    reused: ReusedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(reused.dsn), monkeypatch.context() as patched:
        patched.setattr("tests.support.reused_database._LEAVING_SECONDS", 0.1)
        assert not reused.restore()
    assert reused.restore()


async def test_a_database_with_a_leftover_lock_is_not_used_again(
    reused: ReusedDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await reused.pool(reused.dsn, 1)
    await pool.fetchval("SELECT pg_advisory_lock(1)")
    with monkeypatch.context() as patched:
        patched.setattr("tests.support.reused_database._LEAVING_SECONDS", 0.1)
        assert not reused.restore()
    await pool.fetchval("SELECT pg_advisory_unlock(1)")
    assert reused.restore()


async def test_a_pool_is_kept_though_a_test_closes_it(reused: ReusedDatabase) -> None:
    async def session(pool: Database) -> object:
        return await pool.fetchval("SELECT pg_backend_pid()")

    pool = await reused.pool(reused.dsn, 1)
    known = await session(pool)
    await pool.close()
    assert reused.restore()
    assert await session(await reused.pool(reused.dsn, 1)) == known
