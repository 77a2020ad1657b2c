"""A real PostgreSQL with pgvector for the tests: one server, one migrated template, a copy per test."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from db.logins import DATABASE, application_dsn
from db.migrate import upgrade
from db.pool import Database
from ops.stack.embedded import EmbeddedPostgres

_numbers = itertools.count()

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 2 * 1024**3


def _server_folder() -> str | None:
    """Where the server's files go: into memory, if there is enough, because most of what tests wait for
    otherwise is the disk, at the checkpoint that comes with every new database. Else the usual folder."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
        return str(_MEMORY)
    return None


def on_database(dsn: str, name: str) -> str:
    """The DSN of another database on the embedded server of `dsn`."""
    user, _, rest = dsn.partition("@/")
    return f"{user}@/{name}?{rest.partition('?')[2]}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """DSN of the server's own database, which is migrated and never used."""
    # Not below pytest's folders: pytest closes them to all but its user, and as root the server is another.
    folder = Path(tempfile.mkdtemp(prefix="semblance-tests-", dir=_server_folder()))
    server = EmbeddedPostgres(folder / "postgres")
    try:
        dsn = server.start()
        with psycopg.connect(dsn, autocommit=True) as connection:
            # What a crash would lose, a test does not need.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            # Nor is there anything to clear up in databases that live for a second.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            # So that a run does not fill the memory with its log.
            connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")
            connection.execute("SELECT pg_reload_conf()")
        upgrade(dsn)
        yield dsn
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture
def make_database(postgres: str) -> Iterator[Callable[[str], str]]:
    """Create a database from a template, return its DSN; all are dropped after the test."""
    made: list[str] = []
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:

        def make(template: str) -> str:
            name = f"test_{next(_numbers)}"
            # By way of the log, as is usual, takes twice as long, and so does the end of such a database.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
            made.append(name)
            return on_database(postgres, name)

        yield make
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def dsn(make_database: Callable[[str], str]) -> str:
    """DSN of a migrated database of the test's own."""
    return make_database(DATABASE)


@pytest.fixture
def service_dsn(dsn: str) -> str:
    """DSN of the same database for the application's login."""
    return application_dsn(dsn)


@pytest.fixture
def empty_dsn(make_database: Callable[[str], str]) -> str:
    """DSN of an empty database of the test's own."""
    return make_database("template1")


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """A pool on a migrated database of the test's own."""
    connected = await Database.connect(dsn, pool_size=4)
    yield connected
    await connected.close()
