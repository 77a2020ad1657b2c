"""The rows of a database out of one snapshot, and into an empty database of the same schema.

COPY in text, and not pg_dump: rows then fit every version of the server, the migrations of this project make
the schema, and no program has to match the server.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from db.dsn import parse_dsn
from semblance.errors import ConfigurationError, DatabaseError

_BLOCK: Final = 1 << 18

_TABLES: Final = """
    SELECT relname, array_agg(attname ORDER BY attnum)
    FROM pg_class
    JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace
        AND relkind = 'r'
        AND relname <> 'alembic_version'
        AND attnum > 0
        AND NOT attisdropped
        AND attgenerated = ''
    GROUP BY relname
    ORDER BY relname
"""

_SEQUENCES: Final = """
    SELECT relname
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    ORDER BY relname
"""

_VECTOR_INDEXES: Final = """
    SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    FROM pg_index
    JOIN pg_class ON pg_class.oid = indexrelid
    JOIN pg_am ON pg_am.oid = relam
    WHERE relnamespace = 'public'::regnamespace AND amname = 'hnsw'
"""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table whose rows are copied. columns: without generated ones."""

    name: str
    columns: list[str]


class Snapshot:
    """A database as it was at one moment."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def revision(self) -> str:
        """Of the schema."""
        [(revision,)] = self._connection.execute("SELECT version_num FROM public.alembic_version")
        return str(revision)

    def tables(self) -> list[CopiedTable]:
        """All tables, by name."""
        return [CopiedTable(*row) for row in self._connection.execute(_TABLES)]

    def sequences(self) -> dict[str, tuple[int, bool]]:
        """The last value of each sequence, and whether it was given out."""
        names = [name for (name,) in self._connection.execute(_SEQUENCES)]
        return {name: self._sequence(name) for name in names}

    def _sequence(self, name: str) -> tuple[int, bool]:
        query = SQL("SELECT last_value, is_called FROM public.{}").format(Identifier(name))
        [row] = self._connection.execute(query)
        return row[0], row[1]

    def copy(self, table: CopiedTable, target: gzip.GzipFile) -> int:
        """Write the rows of a table; returns how many."""
        with self._connection.cursor() as cursor:
            with cursor.copy(SQL("COPY {} TO STDOUT").format(_columns(table))) as rows:
                for block in rows:
                    target.write(block)
            return cursor.rowcount


@contextmanager
def snapshot(dsn: str) -> Iterator[Snapshot]:
    """The database as it is when the context begins. Raises DatabaseError."""
    with _connected(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            yield Snapshot(connection)


class Loader:
    """Fills a database in one transaction."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def copy(self, table: CopiedTable, source: gzip.GzipFile) -> int:
        """Add rows to a table; returns how many."""
        with self._connection.cursor() as cursor:
            with cursor.copy(SQL("COPY {} FROM STDIN").format(_columns(table))) as rows:
                while block := source.read(_BLOCK):
                    rows.write(block)
            return cursor.rowcount

    def set_sequence(self, name: str, value: int, given_out: bool) -> None:
        self._connection.execute(
            "SELECT setval(format('public.%%I', %s::text)::regclass, %s, %s)", (name, value, given_out)
        )


@contextmanager
def loading(dsn: str) -> Iterator[Loader]:
    """Empty all tables and fill them: no trigger runs, and vector indexes are built at the end. Nothing has
    changed if the context ends by an error.

    Raises ConfigurationError if the login may not do without triggers, else DatabaseError.
    """
    with _connected(dsn) as connection, connection.transaction():
        try:
            connection.execute("SET LOCAL session_replication_role = replica")
        except psycopg.errors.InsufficientPrivilege as exc:
            raise ConfigurationError(
                "The database's owner may not restore rows without running their triggers. Let a superuser "
                "run: GRANT SET ON PARAMETER session_replication_role TO the owner."
            ) from exc
        names = [SQL("public.{}").format(Identifier(name)) for name, _ in connection.execute(_TABLES)]
        connection.execute(SQL("TRUNCATE {}").format(SQL(", ").join(names)))
        indexes = connection.execute(_VECTOR_INDEXES).fetchall()
        for name, _ in indexes:
            connection.execute(SQL("DROP INDEX {}").format(SQL(name)))
        yield Loader(connection)
        for _, definition in indexes:
            connection.execute(SQL(definition))


def is_empty(dsn: str) -> bool:
    """Whether a migrated database has neither users nor celebrities. Raises DatabaseError."""
    with _connected(dsn) as connection:
        [row] = connection.execute("SELECT EXISTS (SELECT FROM profiles) OR EXISTS (SELECT FROM celebrities)")
        return row == (False,)


def _columns(table: CopiedTable) -> Composed:
    columns = SQL(", ").join(map(Identifier, table.columns))
    return SQL("public.{} ({})").format(Identifier(table.name), columns)


@contextmanager
def _connected(dsn: str) -> Iterator[psycopg.Connection]:
    try:
        # Prepared statements do not survive a transaction-mode pooler.
        with psycopg.connect(parse_dsn(dsn).for_psycopg(), prepare_threshold=None) as connection:
            yield connection
    except psycopg.Error as exc:
        raise DatabaseError(f"The database could not be used: {str(exc).strip()}") from exc
