"""A real PostgreSQL with pgvector for the tests: one server, one migrated template, copies of it."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from db.logins import DATABASE, application_dsn
from db.migrate import upgrade
from db.pool import Database
from ops.stack.embedded import EmbeddedPostgres
from tests.support.pooler import PGBOUNCER, SERVER_CONNECTIONS, Pooler, through, transaction_pooler
from tests.support.reused_database import ReusedDatabase

_numbers = itertools.count()

_MEMORY = Path("/dev/shm")
_ENOUGH_BYTES = 2 * 1024**3


def _server_folder() -> str | None:
    """The folder of the server's files: in memory if there is enough, else the usual folder. On disk, tests
    mostly wait for the checkpoint that each new database causes."""
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH_BYTES:
        return str(_MEMORY)
    return None


def on_database(dsn: str, name: str) -> str:
    """The DSN of another database on the embedded server of `dsn`."""
    user, _, rest = dsn.partition("@/")
    return f"{user}@/{name}?{rest.partition('?')[2]}"


@pytest.fixture(scope="session", autouse=True)
def _nothing_but_notifications() -> Iterator[None]:
    """Nobody wakes up only because some time has passed: what is not told would otherwise just come later."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("db.listen.SAFETY_SECONDS", 3600.0)
        yield


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("behind_pooler") and not PGBOUNCER:
        raise pytest.UsageError("--behind-pooler needs PgBouncer (Debian: apt install pgbouncer).")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """DSN of the server's own database, which is migrated and never used."""
    # Not in pytest's folders, which only its own user may enter: for root, the server runs as another user.
    folder = Path(tempfile.mkdtemp(prefix="semblance-tests-", dir=_server_folder()))
    server = EmbeddedPostgres(folder / "postgres")
    try:
        dsn = server.start()
        with psycopg.connect(dsn, autocommit=True) as connection:
            # Tests do not need data to survive a crash.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            # Databases that live for a second need no vacuum.
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            # A large log would fill the memory.
            connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")
            # Creating and dropping a database goes through all of it, which takes twice as long with a share
            # of a large machine.
            connection.execute("ALTER SYSTEM SET shared_buffers = '128MB'")
        server.stop()
        upgrade(server.start())
        yield dsn
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def _copies(postgres: str) -> Iterator[Callable[[str], str]]:
    """Create a database from a template, return its DSN; all are dropped at the end."""
    made: list[str] = []
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:

        def make(template: str) -> str:
            name = f"test_{next(_numbers)}"
            # The default strategy, through the log, takes twice as long to create and to drop a database.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
            made.append(name)
            return on_database(postgres, name)

        yield make
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def make_database(postgres: str) -> Iterator[Callable[[str], str]]:
    """Create a database from a template, return its DSN; all are dropped after the test."""
    with _copies(postgres) as make:
        yield make


@pytest.fixture
def fresh_dsn(make_database: Callable[[str], str]) -> str:
    """DSN of a migrated database that no other test uses."""
    return make_database(DATABASE)


@pytest.fixture
def empty_dsn(make_database: Callable[[str], str]) -> str:
    """DSN of an empty database for this test."""
    return make_database("template1")


class _Reused:
    """The database reused by tests, as long as it can be restored."""

    def __init__(self, postgres: str, pooled: int) -> None:
        self._postgres = postgres
        self._pooled = pooled
        self._stack = ExitStack()
        self._current: ReusedDatabase | None = None

    def lend(self) -> ReusedDatabase:
        if self._current is None:
            make = self._stack.enter_context(_copies(self._postgres))
            self._current = ReusedDatabase(make(DATABASE), self._pooled)
            self._stack.callback(self._current.close)
        return self._current

    def take_back(self) -> None:
        if self._current is not None and not self._current.restore():
            self.close()

    def close(self) -> None:
        self._stack.close()
        self._current = None


@pytest.fixture(scope="session")
async def _reused(postgres: str, _pooler: Pooler | None) -> AsyncIterator[_Reused]:
    # Asynchronous, because its connections need their event loop to close.
    reused = _Reused(postgres, 0 if _pooler is None else 2 * SERVER_CONNECTIONS)
    yield reused
    reused.close()


@pytest.fixture
def reused_database(_reused: _Reused) -> Iterator[ReusedDatabase]:
    """The migrated database of the test, the only one that uses it now."""
    yield _reused.lend()
    _reused.take_back()


@pytest.fixture
def dsn(reused_database: ReusedDatabase) -> str:
    """DSN of a migrated database with only the rows of the migrations."""
    return reused_database.dsn


@pytest.fixture
def copy_database(reused_database: ReusedDatabase, make_database: Callable[[str], str]) -> Callable[[], str]:
    """Copy the test's database with its rows, return the copy's DSN. The copy has no connections."""

    def copy() -> str:
        reused_database.close()
        return make_database(reused_database.name)

    return copy


@pytest.fixture(scope="session")
def _pooler(pytestconfig: pytest.Config, postgres: str) -> Iterator[Pooler | None]:
    """A PgBouncer that the service connects to, if the tests are to run behind one."""
    if not pytestconfig.getoption("behind_pooler"):
        yield None
        return
    with transaction_pooler(postgres) as started:
        yield started


@pytest.fixture
def pooler_host(_pooler: Pooler | None) -> str | None:
    """Its address; None without it."""
    if _pooler is None:
        return None
    _pooler.settle()
    return _pooler.host


@pytest.fixture
def can_listen(pooler_host: str | None) -> None:
    """For tests of what only a session of the service itself can do."""
    if pooler_host is not None:
        pytest.skip("behind a pooler the service does not listen, but asks")


@pytest.fixture
def service_dsn(dsn: str, pooler_host: str | None) -> str:
    """DSN of the same database for the application's login."""
    direct = application_dsn(dsn)
    return direct if pooler_host is None else through(direct, pooler_host)


@pytest.fixture
async def database(reused_database: ReusedDatabase, pooler_host: str | None) -> Database:
    """A pool on it, with the owner's rights."""
    direct = reused_database.dsn
    return await reused_database.pool(direct if pooler_host is None else through(direct, pooler_host), 4)


@pytest.fixture
async def direct_database(reused_database: ReusedDatabase) -> Database:
    """A pool that always reaches the server itself, for what a pooler does not allow: to listen, and to build
    indexes."""
    return await reused_database.pool(reused_database.dsn, 4)
