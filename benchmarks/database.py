"""A database for one benchmark: the embedded server in a folder, migrated."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from db.migrate import upgrade
from ops.stack.embedded import EmbeddedPostgres


@contextmanager
def scratch_database() -> Iterator[str]:
    """The DSN of a server that lives as long as the context."""
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as folder, kept_database(folder) as dsn:
        yield dsn


@contextmanager
def kept_database(folder: str | Path) -> Iterator[str]:
    """The DSN of a server that runs as long as the context; its folder stays, for the next run."""
    server = EmbeddedPostgres(Path(folder) / "postgres")
    try:
        dsn = server.start()
        upgrade(dsn)
        yield dsn
    finally:
        server.stop()


def drop_gallery_index(connection: psycopg.Connection) -> bytes:
    """Drop the vector index of celebrities, which takes a minute for 100,000 that are inserted one by one.
    Returns the statement that makes it."""
    name = "celebrities_embedding_half_idx"
    row = connection.execute("SELECT pg_get_indexdef(%s::regclass)", [name]).fetchone()
    assert row is not None
    connection.execute(SQL("DROP INDEX {}").format(Identifier(name)))
    return str(row[0]).encode()
