"""Migrations: bring a database's schema up to date.

The history of the schema is the SQL files in `migrations/`. They run through synchronous psycopg, which takes
a whole file at once; asyncpg's protocol does not.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from db.dsn import parse_dsn
from semblance.actor import actor_var
from semblance.errors import ConfigurationError, DatabaseError

MIN_POSTGRES = 15
"""The oldest server that the schema and the tests support."""

MIN_PGVECTOR = (0, 8)
"""The first version with iterative index scans, without which a filtered search loses results."""

_VERSION_TABLE = """
    CREATE TABLE IF NOT EXISTS public.alembic_version (
        version_num varchar(32) CONSTRAINT alembic_version_pkc PRIMARY KEY
    )
"""
"""Where the revision stands. Alembic, which wrote it at first, gave the table its name."""

_VECTOR_SCHEMA = """
    SELECT quote_ident(nspname)
    FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
    WHERE extname = 'vector'
"""
"""The schema of the extension: public on most servers, extensions on Supabase."""

_SEARCH_PATH = f"SELECT set_config('search_path', concat_ws(', ', 'public', ({_VECTOR_SCHEMA})), true)"
"""Tables go to public."""

logger = logging.getLogger(__name__)

_LOCK = 0x53454D42
"""Key of the advisory lock, "SEMB"."""
_LOCK_SECONDS = 600.0
_LOCK_POLL_SECONDS = 0.2

_TABLE_LOCK_WAIT = "400ms"
"""How long a migration waits for the lock of a table, and others behind it. Two such waits are shorter than
deadlock_timeout, 1 s by default. A statement may wait behind the migration's first lock while that waits, and
then hold what the migration needs next: it is the migration that gives way, not the statement."""
_TABLE_LOCK_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Migration:
    """One step in the schema's history. revision: the number it leads to, such as 0001. up, down: the files
    that go there and back."""

    revision: str
    up: Path
    down: Path


def load_migrations(folder: Path) -> tuple[Migration, ...]:
    """The migrations of a folder in their order: files `0001_name.up.sql` and `0001_name.down.sql`."""
    return tuple(
        Migration(up.name[:4], up, up.with_name(up.name.replace(".up.", ".down.")))
        for up in sorted(folder.glob("*.up.sql"))
    )


MIGRATIONS = load_migrations(Path(__file__).with_name("migrations"))


def upgrade(dsn: str, revision: str | None = None, *, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Migrate up to `revision`, the newest by default. Does nothing if the schema is there already; safe to
    run in several processes.

    Raises ConfigurationError if the server is too old or lacks a right, DatabaseError if it cannot be reached
    or refuses.
    """
    check_server(dsn)
    with locked(dsn), connect(dsn, autocommit=True) as connection:
        if holds_old_app(dsn):
            raise ConfigurationError(
                "This database holds the tables of the old app. `semblance migrate --adopt` says what taking "
                "it over would change, and then does it while the old app goes on."
            )
        connection.execute(_VERSION_TABLE)
        start = _steps_to(_revision(connection), migrations)
        end = len(migrations) if revision is None else _steps_to(revision, migrations)
        before = _revision(connection)
        for migration in migrations[start:end]:
            _apply(connection, migration.up, migration.revision)
        # A new database begins with an empty audit log.
        if start < end and before is not None:
            _audit(connection, before, _revision(connection))


def may_migrate(dsn: str) -> bool:
    """Whether the login may change the schema, as the application's may not. Raises DatabaseError."""
    with connect(dsn) as connection:
        row = connection.execute("SELECT has_schema_privilege('public', 'CREATE')").fetchone()
    return row == (True,)


def require_newest(dsn: str) -> None:
    """Check, by the application's login, that the owner has migrated up to the newest revision.

    Raises ConfigurationError if the schema is at another one, DatabaseError.
    """
    with connect(dsn) as connection:
        # The table of revisions is the owner's; schemas older than this function are too old.
        row = connection.execute("SELECT to_regprocedure('public.schema_revision()') IS NOT NULL").fetchone()
        if row == (True,):
            row = connection.execute("SELECT public.schema_revision()").fetchone()
    revision = row[0] if row and isinstance(row[0], str) else None
    if _steps_to(revision, MIGRATIONS) < len(MIGRATIONS):
        raise ConfigurationError(
            f"The schema is {f'at revision {revision}' if revision else 'missing or old'}; this version of "
            f"Semblance needs {head()}. Run `semblance migrate` as the database's owner, or set "
            "SEMBLANCE_OWNER_DATABASE_URL."
        )


def downgrade(dsn: str, revision: str | None) -> None:
    """Migrate down to `revision`, None for an empty schema; the data of what goes is lost.

    Raises as upgrade does.
    """
    with locked(dsn), connect(dsn, autocommit=True) as connection:
        start, end = _steps_to(_revision(connection), MIGRATIONS), _steps_to(revision, MIGRATIONS)
        before = [None, *(migration.revision for migration in MIGRATIONS)]
        for index in reversed(range(end, start)):
            _apply(connection, MIGRATIONS[index].down, before[index])


def _audit(connection: psycopg.Connection, before: str, after: str | None) -> None:
    if connection.execute("SELECT to_regclass('audit_log') IS NOT NULL").fetchone() == (True,):
        connection.execute(
            "INSERT INTO audit_log (actor, action, target, before, after) "
            "VALUES (%s, 'schema.migrate', 'schema', jsonb_build_object('revision', %s::text), "
            "jsonb_build_object('revision', %s::text))",
            (actor_var.get(), before, after),
        )


def _steps_to(revision: str | None, migrations: tuple[Migration, ...]) -> int:
    """How many migrations lead from nothing to `revision`. Raises ConfigurationError for an unknown one."""
    revisions = [None, *(migration.revision for migration in migrations)]
    if revision not in revisions:
        raise ConfigurationError(
            f"This version of Semblance does not know the schema's revision {revision}. The database was "
            "migrated by another version of Semblance: use that version, or a newer one, or let it go back "
            f"first: semblance migrate --to {migrations[-1].revision}."
        )
    return revisions.index(revision)


def current(dsn: str) -> str | None:
    """The revision the schema is at, or None before the first. Raises DatabaseError."""
    with connect(dsn) as connection:
        return _revision(connection)


def holds_old_app(dsn: str) -> bool:
    """Whether the tables are the old app's, which no migration has made. Raises DatabaseError."""
    with connect(dsn) as connection:
        row = connection.execute(
            "SELECT to_regclass('public.profiles') IS NOT NULL AND to_regclass('public.faces') IS NOT NULL"
        ).fetchone()
        return row == (True,) and not _is_known(_revision(connection))


def _is_known(revision: str | None) -> bool:
    """Whether a revision is one of this project's, older or newer. Those are numbers; another app may have
    left a table of versions with others."""
    return revision is not None and re.fullmatch(r"\d{4}", revision) is not None


def head() -> str:
    """The newest revision there is."""
    return MIGRATIONS[-1].revision


def stamp(dsn: str) -> None:
    """Note that the schema is at the newest revision, after other means than migrations. The caller holds the
    lock.

    Raises as upgrade does.
    """
    with connect(dsn) as connection:
        connection.execute(_VERSION_TABLE)
        _note(connection, head())
        connection.execute("ALTER TABLE public.alembic_version ENABLE ROW LEVEL SECURITY")
        connection.execute("REVOKE ALL ON public.alembic_version FROM authenticated, anon")


def check_server(dsn: str) -> None:
    """Refuse servers that are too old for this schema.

    Raises ConfigurationError that says what was found, what is needed and how to get there, DatabaseError if
    the server cannot be reached.
    """
    with connect(dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int,"
            " (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        ).fetchone()
    if row is None:
        raise DatabaseError("The server did not report its version.")
    check_versions(*row)


def check_versions(server: int, installed: str | None, available: str | None) -> None:
    """The decision of check_server.

    Args:
        server: PostgreSQL's server_version_num, as 180004.
        installed: version of the extension in this database, None before it is created.
        available: version that CREATE EXTENSION would install, None if its files are missing.

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


def _apply(connection: psycopg.Connection, path: Path, revision: str | None) -> None:
    """Run a file, and note the revision it leads to in the same transaction. A table that is in use is not
    waited for, because everybody else would then wait behind the migration: it is tried again.

    An index that is built or dropped concurrently cannot be in a transaction: a file of such statements has
    no others, and each names its schemas and may run again. That of the extension is `@extschema:vector@`, as
    in the scripts of extensions.
    """
    content = path.read_text(encoding="utf-8")
    if "INDEX CONCURRENTLY" in content:
        _drop_unfinished(connection, content)
        schema = str((connection.execute(_VECTOR_SCHEMA).fetchone() or ["public"])[0])
        for statement in filter(str.strip, content.replace("@extschema:vector@", schema).split(";")):
            connection.execute(statement)
        with connection.transaction():
            _note(connection, revision)
        return
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            with connection.transaction():
                connection.execute(f"SET LOCAL lock_timeout = '{_TABLE_LOCK_WAIT}'")
                connection.execute(_SEARCH_PATH)
                connection.execute(content)
                _note(connection, revision)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as exc:
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"The migration to {revision} got no lock in ten minutes: {str(exc).strip()}. End the "
                    "transactions that stay open (pg_stat_activity), and run it again."
                ) from exc
            logger.info("migration %s waits for others: %s", revision, str(exc).strip())
            time.sleep(_TABLE_LOCK_PAUSE_SECONDS)
        else:
            return


def _drop_unfinished(connection: psycopg.Connection, sql: str) -> None:
    """Drop the indexes that a killed migration left invalid, which IF NOT EXISTS would take for built."""
    for index in re.findall(r"INDEX CONCURRENTLY IF NOT EXISTS (public\.)?(\w+)", sql):
        query = "SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"
        name = f"public.{index[1]}"
        if connection.execute(query, [name]).fetchone() is not None:
            connection.execute(SQL("DROP INDEX CONCURRENTLY {}").format(Identifier("public", index[1])))


def _note(connection: psycopg.Connection, revision: str | None) -> None:
    connection.execute("DELETE FROM public.alembic_version")
    if revision is not None:
        connection.execute("INSERT INTO public.alembic_version VALUES (%s)", [revision])


def _revision(connection: psycopg.Connection) -> str | None:
    if connection.execute("SELECT to_regclass('public.alembic_version')").fetchone() == (None,):
        return None
    # Another app may have left several, which together are not a revision of this project.
    row = connection.execute("SELECT string_agg(version_num, ', ') FROM public.alembic_version").fetchone()
    return None if row is None else row[0]


@contextmanager
def locked(dsn: str) -> Iterator[None]:
    """Let one process migrate at a time; the others wait.

    The lock belongs to a second transaction, open during the migration, so that it also holds behind a
    transaction-mode pooler. That transaction must not hold a snapshot, because CREATE INDEX CONCURRENTLY
    waits for all snapshots to end. So the lock is polled, not waited for, and requested without parameters,
    because a statement with parameters keeps its snapshot after its end.
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
def connect(dsn: str, *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
    """A connection for looking around. Raises ConfigurationError for an invalid DSN, else DatabaseError."""
    try:
        # Prepared statements do not survive a transaction-mode pooler.
        with psycopg.connect(
            parse_dsn(dsn).for_psycopg(), prepare_threshold=None, autocommit=autocommit
        ) as connection:
            yield connection
    except psycopg.errors.InsufficientPrivilege as exc:
        raise ConfigurationError(
            f"The database user may not change the schema ({exc.diag.message_primary}). Set "
            "SEMBLANCE_OWNER_DATABASE_URL to its owner; CREATE EXTENSION vector may need a superuser once."
        ) from exc
    except psycopg.Error as exc:
        raise DatabaseError(f"The database could not be used: {str(exc).strip()}") from exc
