"""A database and its connections that many tests reuse: creating one takes longer than most tests.

Its rows are deleted after a test. If a test made other changes, the next one gets a new database.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import cached_property
from typing import Any

import asyncpg
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier, Literal

from db.pool import Database

_LARGEST_TABLE = 64 * 8192
"""Bytes. Deleted rows stay in it; a table this small is read at once and planned like an empty one."""

_LEAVING_SECONDS = 0.1
"""Time that a session may last after its client has closed it."""

_CATALOGS = {
    "pg_attrdef": "oid", "pg_attribute": "attrelid", "pg_constraint": "oid", "pg_default_acl": "oid",
    "pg_event_trigger": "oid", "pg_extension": "oid", "pg_policy": "oid", "pg_proc": "oid",
    "pg_publication": "oid", "pg_rewrite": "oid", "pg_statistic": "starelid", "pg_trigger": "oid",
    "pg_type": "oid",
}  # fmt: skip
_SCHEMA = f"""
SELECT ARRAY[
    -- An index that is built again has a new row here.
    (SELECT ROW(count(*), max(xmin::text::bigint), sum(relpages), sum(reltuples))::text
        FROM pg_class WHERE oid >= 16384 AND relkind <> 'i' AND relpersistence = 'p'),
    (SELECT ROW(count(*), count(*) FILTER (WHERE indisvalid))::text FROM pg_index WHERE indexrelid >= 16384),
    (SELECT ROW(count(*), max(xmin::text::bigint))::text
        FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%temp\\_%'),
    (SELECT ROW(xmin, datacl)::text FROM pg_database WHERE datname = current_database()),
    {
    ", ".join(
        f"(SELECT ROW(count(*), max(xmin::text::bigint))::text FROM {catalog} WHERE {oid} >= 16384)"
        for catalog, oid in {**_CATALOGS, "pg_db_role_setting": "setdatabase"}.items()
    )
}
]
"""
"""What a change of the schema, of a right on it, or of the statistics about its tables changes.
PostgreSQL's own objects have smaller OIDs."""

_OTHERS = """
SELECT
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()),
    (SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())),
    pg_current_wal_insert_lsn()::text
"""
"""The last is where the server's log ends: it grows with each transaction that has written anything."""


class _Lent:
    """An asyncpg pool for as long as a test does not close it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._is_closed = False

    def acquire(self, *, timeout: float) -> AbstractAsyncContextManager[asyncpg.Connection]:
        if self._is_closed:
            raise asyncpg.InterfaceError("pool is closed")
        acquired: AbstractAsyncContextManager[asyncpg.Connection] = self._pool.acquire(timeout=timeout)
        return acquired

    async def release(self, connection: asyncpg.Connection) -> None:
        await self._pool.release(connection)

    async def close(self) -> None:
        self._is_closed = True


class _LentConnection:
    """A connection outside of a pool. When a test closes it, another test may have it."""

    def __init__(self, connection: asyncpg.Connection, free: list[asyncpg.Connection]) -> None:
        self._connection = connection
        self._free = free
        self._told: list[Callable[..., object]] = []
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def add_termination_listener(self, callback: Callable[..., object]) -> None:
        self._told.append(callback)
        self._connection.add_termination_listener(callback)

    def is_closed(self) -> bool:
        return self._is_closed or bool(self._connection.is_closed())

    async def close(self, **options: float) -> None:
        self._is_closed = True
        for callback in self._told:
            self._connection.remove_termination_listener(callback)
        if not self._connection.is_closed():
            await self._connection.reset(**options)
            self._free.append(self._connection)


class _KeptPool(Database):
    """A pool reused by tests."""

    def lend(self) -> Database:
        """The pool, for one test."""
        return Database(
            _Lent(self._pool),
            self._lend_connection,
            transaction_pooler=self._transaction_pooler,
        )

    async def _lend_connection(self) -> asyncpg.Connection:
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return _LentConnection(connection, self._free)
        return _LentConnection(await self._connect(), self._free)

    @cached_property
    def _free(self) -> list[asyncpg.Connection]:
        return []

    @property
    def size(self) -> int:
        """The number of its connections that no test uses."""
        return int(self._pool.get_size()) + len(self._free)

    def terminate(self) -> None:
        """End it at once."""
        self._pool.terminate()
        for connection in self._free:
            connection.terminate()


class ReusedDatabase:
    """A migrated database, unused at first and again after each `restore`."""

    def __init__(self, dsn: str, pooled: int = 0) -> None:
        """dsn: of its owner, a superuser. pooled: sessions that a pooler in front of it may keep."""
        self.dsn = dsn
        self._pooled = pooled
        self.name = str(conninfo_to_dict(dsn)["dbname"])
        self._pools: dict[tuple[str, int], _KeptPool] = {}
        self._connection = psycopg.connect(dsn, autocommit=True)
        # No trigger runs, and no foreign key is followed.
        self._connection.execute("SET session_replication_role = replica")
        # What is built again is empty, and takes twice as long with the means for a large index.
        self._connection.execute("SET maintenance_work_mem = '2MB'")
        self._connection.execute("SET max_parallel_maintenance_workers = 0")
        tables = [
            Identifier(*name)
            for name in self._connection.execute(
                """
                SELECT schemaname, tablename FROM pg_tables
                WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
                """
            )
        ]
        copies = [(table, self._copy(table)) for table in tables]
        self._rows = [(table, rows) for table, rows in copies if rows]
        self._vector_indexes = [
            Identifier(name)
            for (name,) in self._connection.execute(
                """
                SELECT pg_class.relname FROM pg_class JOIN pg_am ON pg_am.oid = relam
                WHERE amname = 'hnsw' AND relnamespace = 'public'::regnamespace
                """
            )
        ]
        empty = [SQL("DELETE FROM {}").format(table) for table, rows in copies if not rows] + [
            SQL("SELECT setval({}, {}, {})").format(sequence, last or start, last is not None)
            for sequence, start, last in self._connection.execute(
                """
                SELECT format('%I.%I', schemaname, sequencename), start_value, last_value
                FROM pg_sequences
                """
            )
        ]
        # Prepared, because parsing and planning them takes longer than running them.
        names = [Identifier(f"empty_{number}") for number in range(len(empty))]
        for name, statement in zip(names, empty, strict=True):
            self._connection.execute(SQL("PREPARE {} AS {}").format(name, statement))
        self._empty = SQL("; ").join(SQL("EXECUTE {}").format(name) for name in names).as_bytes(None)
        self._look = self._looking().as_string(None)
        self._schema, _, self._seeds, self._sizes = self._state()
        self._log_end = self._others()[2]

    async def pool(self, dsn: str, size: int) -> Database:
        """Up to `size` connections to it by the rights of the login in `dsn`."""
        known = self._pools.get((dsn, size))
        if known is None:
            known = self._pools[dsn, size] = await _KeptPool.connect(dsn, pool_size=size)
        return known.lend()

    def restore(self) -> bool:
        """Undo the changes of a test. False if that is impossible: the database must then be replaced."""
        try:
            log_end = self._unused_at()
            if log_end == self._log_end:
                return True
            if log_end is None:
                return False
            schema, largest, seeds, sizes = self._state()
            if schema != self._schema or largest > _LARGEST_TABLE:
                return False
            self._connection.execute(self._empty)
            for (table, rows), seed, first in zip(self._rows, seeds, self._seeds, strict=True):
                if seed != first:
                    self._connection.execute(SQL("DELETE FROM {}").format(table))
                    with self._connection.cursor().copy(SQL("COPY {} FROM STDIN").format(table)) as copy:
                        copy.write(rows)
            for index, size, known in zip(self._vector_indexes, sizes, self._sizes, strict=True):
                if size != known:
                    # A search would still visit the deleted rows, and find fewer of the others.
                    self._connection.execute(SQL("REINDEX INDEX {}").format(index))
            self._log_end = self._others()[2]
        except psycopg.Error:
            return False
        return True

    def close(self) -> None:
        """End all connections to it at once. No other test uses it."""
        with suppress(psycopg.Error):
            # Connections of a busy event loop would not have ended yet.
            self._connection.execute(
                """
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                """
            )
        for pool in self._pools.values():
            pool.terminate()
        self._connection.close()

    def _unused_at(self) -> str | None:
        """Where the log ends. None if there are sessions beside the kept ones, or locks that outlive a
        transaction."""
        kept = self._pooled + sum(pool.size for pool in self._pools.values())
        deadline = time.monotonic() + _LEAVING_SECONDS
        while True:
            sessions, locks, log_end = self._others()
            if sessions <= kept and not locks:
                return log_end
            if time.monotonic() > deadline:
                return None
            time.sleep(0.002)

    def _others(self) -> tuple[int, int, str]:
        row = self._connection.execute(_OTHERS).fetchone()
        assert row is not None
        sessions, locks, log_end = row
        return sessions, locks, log_end

    def _looking(self) -> Composed:
        """The query that `_state` sends: one, because sending it takes as long as running it."""
        seeds = [
            SQL("(SELECT string_agg(t::text, ' ') FROM {} AS t)").format(table) for table, _ in self._rows
        ]
        sizes = [
            SQL("pg_relation_size({}::regclass)").format(Literal(index.as_string()))
            for index in self._vector_indexes
        ]
        return SQL(
            """
            SELECT
                ({}),
                (SELECT max(pg_relation_size(oid)) FROM pg_class
                    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace),
                ARRAY[{}]::text[], ARRAY[{}]::bigint[]
            """
        ).format(SQL(_SCHEMA), SQL(", ").join(seeds), SQL(", ").join(sizes))

    def _state(self) -> tuple[list[str], int, list[str | None], list[int]]:
        """The schema, bytes of the largest table, the rows of each table that has some at first, and bytes of
        each vector index."""
        row = self._connection.execute(self._look).fetchone()
        assert row is not None
        schema, largest, seeds, sizes = row
        return schema, largest, seeds, sizes

    def _copy(self, table: Identifier) -> bytes:
        with self._connection.cursor().copy(SQL("COPY {} TO STDOUT").format(table)) as copy:
            return b"".join(bytes(part) for part in copy)
