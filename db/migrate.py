"""Bring a database's schema up to date.

Alembic runs thin revisions that run the SQL files beside them. Everything is synchronous psycopg:
it takes a whole file at once, which asyncpg's protocol does not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg.sql import SQL
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from db.dsn import parse_dsn
from semblance.errors import ConfigurationError, DatabaseError

MIN_POSTGRES = 15
"""The oldest server the schema and the tests are kept to."""

MIN_PGVECTOR = (0, 8)
"""The first with iterative index scans, without which a filtered search loses results."""

_SCRIPTS = Path(__file__).with_name("migrations")

_LOCK = 0x53454D42
"""Key of the advisory lock, "SEMB"."""
_LOCK_SECONDS = 600.0
_LOCK_POLL_SECONDS = 0.2


def upgrade(dsn: str, revision: str = "head") -> None:
    """Migrate up to `revision`. Does nothing where the schema is there; safe to run in several processes.

    Raises ConfigurationError where the server is too old or lacks a right, DatabaseError where it cannot
    be reached or refuses.
    """
    check_server(dsn)
    with _migrating(dsn) as config:
        if holds_old_app(dsn):
            raise ConfigurationError(
                "This database holds the tables of the old app. `semblance migrate --adopt` says what taking "
                "it over would change, and then does it while the old app goes on."
            )
        command.upgrade(config, revision)


def downgrade(dsn: str, revision: str) -> None:
    """Migrate down to `revision`, "base" for nothing at all; the data of what goes is lost.

    Raises as upgrade does.
    """
    with _migrating(dsn) as config:
        command.downgrade(config, revision)


def current(dsn: str) -> str | None:
    """The revision the schema is at, or None before the first. Raises DatabaseError."""
    with _connection(dsn) as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": "public"})
        return context.get_current_revision()


def holds_old_app(dsn: str) -> bool:
    """Whether the tables are the old app's, which no migration has made. Raises DatabaseError."""
    with connect(dsn) as connection:
        row = connection.execute(
            "SELECT to_regclass('public.profiles') IS NOT NULL AND to_regclass('public.faces') IS NOT NULL"
        ).fetchone()
    return row == (True,) and not _is_known(current(dsn))


def _is_known(revision: str | None) -> bool:
    """Whether a revision is one of this project's, older or newer: they are numbers. Another app may have
    left a table of versions."""
    return revision is not None and re.fullmatch(r"\d{4}", revision) is not None


def head() -> str | None:
    """The newest revision there is."""
    return ScriptDirectory(_SCRIPTS).get_current_head()


def stamp(dsn: str) -> None:
    """Note that the schema is at the newest revision, whatever made it. The caller holds the lock.

    Raises as upgrade does.
    """
    with _connection(dsn) as connection:
        command.stamp(_config(connection), "head", purge=True)
        connection.exec_driver_sql("ALTER TABLE public.alembic_version ENABLE ROW LEVEL SECURITY")
        connection.exec_driver_sql("REVOKE ALL ON public.alembic_version FROM authenticated, anon")
        connection.commit()


def check_server(dsn: str) -> None:
    """Refuse servers this schema cannot live on.

    Raises ConfigurationError that says what was found, what is needed and how to get there, DatabaseError
    where the server cannot be reached.
    """
    with connect(dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int,"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        ).fetchone()
    if row is None:
        raise DatabaseError("The server did not say its version.")
    check_versions(*row)


def check_versions(server: int, installed: str | None, available: str | None) -> None:
    """The decision of check_server.

    Args:
        server: PostgreSQL's server_version_num, as 180004.
        installed: version of the extension in this database, None where it is not yet created.
        available: version that CREATE EXTENSION would bring, None where its files are missing.

    Raises ConfigurationError.
    """
    if server // 10000 < MIN_POSTGRES:
        raise ConfigurationError(
            f"PostgreSQL {server // 10000}.{server % 10000} is too old: {MIN_POSTGRES} or newer is needed. "
            "Upgrade the server, or unset SEMBLANCE_DATABASE_URL to use the embedded one."
        )
    needed = ".".join(map(str, MIN_PGVECTOR))
    if available is None and installed is None:
        raise ConfigurationError(
            f"This PostgreSQL has no pgvector: {needed} or newer is needed. Install it on the server "
            "(https://github.com/pgvector/pgvector#installation), or unset SEMBLANCE_DATABASE_URL to use "
            "the embedded server."
        )
    if installed is not None and _parts(installed) < MIN_PGVECTOR:
        if available is not None and _parts(available) >= MIN_PGVECTOR:
            fix = "Run ALTER EXTENSION vector UPDATE in this database."
        else:
            fix = "Install a newer one on the server, then run ALTER EXTENSION vector UPDATE."
        raise ConfigurationError(f"pgvector {installed} is too old: {needed} or newer is needed. {fix}")
    if installed is None and available is not None and _parts(available) < MIN_PGVECTOR:
        raise ConfigurationError(
            f"pgvector {available} is too old: {needed} or newer is needed. Install that on the server."
        )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


@contextmanager
def _migrating(dsn: str) -> Iterator[Config]:
    """An Alembic configuration on a connection of its own, under the lock."""
    with locked(dsn), _connection(dsn) as connection:
        yield _config(connection)


def _config(connection: Connection) -> Config:
    config = Config()
    # "%" starts an interpolation in Alembic's configuration.
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def locked(dsn: str) -> Iterator[None]:
    """Let one process migrate at a time; the others wait.

    The lock belongs to a transaction that stays open beside the migration, so that it also holds behind
    a pooler that hands out servers by transaction. No such transaction may hold a snapshot, because CREATE
    INDEX CONCURRENTLY waits for every snapshot to go: so the lock is polled, not waited for, and asked for
    without parameters, because a statement with parameters keeps its snapshot after its end.
    """
    deadline = time.monotonic() + _LOCK_SECONDS
    with connect(dsn) as connection:
        while True:
            with connection.transaction():
                connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                row = connection.execute(SQL("SELECT pg_try_advisory_xact_lock({})").format(_LOCK)).fetchone()
                if row == (True,):
                    yield
                    return
            if time.monotonic() > deadline:
                raise DatabaseError("Another process has been migrating this database for ten minutes.")
            time.sleep(_LOCK_POLL_SECONDS)


@contextmanager
def _connection(dsn: str) -> Iterator[Connection]:
    engine = create_engine("postgresql+psycopg://", creator=lambda: _open(dsn), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except (psycopg.Error, DBAPIError) as exc:
        raise _explained(exc) from exc
    except CommandError as exc:
        raise ConfigurationError(
            f"{exc}. The database was migrated by another version of Semblance; use that version, or a newer."
        ) from exc


@contextmanager
def connect(dsn: str) -> Iterator[psycopg.Connection]:
    """A connection for looking around. Raises ConfigurationError for what is no DSN, else DatabaseError."""
    try:
        with _open(dsn) as connection:
            yield connection
    except psycopg.Error as exc:
        raise _explained(exc) from exc


def _open(dsn: str) -> psycopg.Connection:
    # Prepared statements do not survive a pooler that hands out servers by transaction.
    return psycopg.connect(parse_dsn(dsn).for_psycopg(), prepare_threshold=None)


def _explained(exc: psycopg.Error | DBAPIError) -> ConfigurationError | DatabaseError:
    cause = exc.orig if isinstance(exc, DBAPIError) else exc
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return ConfigurationError(
            f"The database user may not migrate ({cause.diag.message_primary}). Set "
            "SEMBLANCE_OWNER_DATABASE_URL to its owner; CREATE EXTENSION vector may need a superuser once."
        )
    return DatabaseError(f"The database could not be used: {str(cause).strip()}")
