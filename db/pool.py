"""The connection pool: asyncpg with codecs for vectors and JSON, and the driver's errors wrapped once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self, TypeAlias

import asyncpg
from pgvector.asyncpg import register_vector

from db.connection_pool import ConnectionPool
from db.dsn import DATABASE_SETTING, parse_dsn
from db.listen import poll, wake_ups
from db.queries import name_of
from semblance.errors import (
    ConfigurationError,
    DatabaseError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    QueryError,
    ReferenceGoneError,
)
from semblance.metrics import POOL_WAIT_SECONDS
from semblance.tracing import span

Connection: TypeAlias = asyncpg.Connection
Record: TypeAlias = asyncpg.Record
QueryCanceledError = asyncpg.QueryCanceledError
ForeignKeyViolationError = asyncpg.ForeignKeyViolationError
UniqueViolationError = asyncpg.UniqueViolationError
"""The driver's classes, under names that other packages may import."""

TRANSACTION_POOLER_PORTS = frozenset({6543, 6432})
"""Ports of Supabase's pooler in transaction mode and of PgBouncer."""

READ_ONLY = (
    "The database is read-only: a standby, or closed by default_transaction_read_only. Point the DSN at the "
    "primary (several hosts with target_session_attrs=read-write find it), or reset that setting."
)

_COMMAND_SECONDS = 60.0
_ACQUIRE_SECONDS = 10.0
_CLOSE_SECONDS = 10.0

_POSTGRESQL = {"db.system.name": "postgresql"}
"""The attribute by which tools for traces know a database."""

_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)

_FIND_VECTOR = """
    SELECT nspname AS schema, pg_type_is_visible(pg_type.oid) AS visible
    FROM pg_type JOIN pg_namespace ON pg_namespace.oid = typnamespace
    WHERE typname = 'vector'
        AND EXISTS (SELECT FROM pg_extension WHERE extname = 'vector' AND extnamespace = typnamespace)
"""


class Database:
    """A pool of connections to one database. Made by `connect`, ended by `close`."""

    def __init__(
        self,
        pool: ConnectionPool,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        *,
        transaction_pooler: bool,
    ) -> None:
        """
        Args:
            connect: opens a connection outside of the pool.
            transaction_pooler: whether the server is behind a transaction-mode pooler.
        """
        self._pool = pool
        self._connect = connect
        self._transaction_pooler = transaction_pooler

    @classmethod
    async def connect(
        cls, dsn: str, *, pool_size: int = 10, command_seconds: float = _COMMAND_SECONDS
    ) -> Self:
        """Open a pool of up to `pool_size` connections, on which a command may take `command_seconds`.

        A DSN with one of TRANSACTION_POOLER_PORTS is taken to lead to a transaction-mode pooler: statements
        are then not prepared for later, and each runs in a transaction.

        Raises ConfigurationError if the DSN is invalid or the schema is missing, DatabaseError if the server
        cannot be reached.
        """
        parsed = parse_dsn(dsn)
        transaction_pooler = not TRANSACTION_POOLER_PORTS.isdisjoint(parsed.ports)
        options: dict[str, Any] = {**parsed.for_asyncpg(), "command_timeout": command_seconds}
        if transaction_pooler:
            options["statement_cache_size"] = 0
        with _Wrapped():
            schema, visible = await _find_vector(options)
            if not visible:
                options["server_settings"]["search_path"] = f'"$user", public, "{schema}"'
            pool = await asyncpg.create_pool(
                init_size=1,
                # For a least number the driver opens connections by itself, and while the server is away it
                # writes a traceback into the log each time. Those who need a connection say it in a line.
                min_size=0,
                max_size=pool_size,
                init=partial(_set_codecs, schema=schema),
                reset=_leave,
                **options,
            )
        return cls(
            ConnectionPool(pool), partial(asyncpg.connect, **options), transaction_pooler=transaction_pooler
        )

    @property
    def is_pooled(self) -> bool:
        """Whether the server is behind a transaction-mode pooler, so that every statement runs in a
        transaction."""
        return self._transaction_pooler

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """A connection inside a transaction, committed at the end, rolled back by an exception.

        Args:
            readonly: all its statements see the database as it is at the first one.

        Raises DatabaseError for every error of the driver, also for one from the body, which may still catch
        those it expects.
        """
        isolation = "repeatable_read" if readonly else None
        with _Wrapped(writes=not readonly), span("transaction", **_POSTGRESQL):
            connection = await self._acquire()
            in_order = False
            try:
                async with connection.transaction(isolation=isolation, readonly=readonly):
                    yield connection
                in_order = True
            finally:
                await self._pool.release(connection, in_order=in_order)

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement. Raises DatabaseError, as the following do."""
        rows: list[asyncpg.Record] = await self._run("fetch", query, args)
        return rows

    async def fetchrow(self, query: str, *args: object) -> asyncpg.Record | None:
        """The first row of one statement, if any."""
        return await self._run("fetchrow", query, args)

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first value of the first row, if any."""
        return await self._run("fetchval", query, args)

    async def execute(self, query: str, *args: object) -> None:
        """Run one statement and discard its result."""
        await self._run("execute", query, args)

    def notifications(self, channel: str) -> AsyncGenerator[None]:
        """Wake-ups of `NOTIFY channel`, without end and without errors: one as soon as it listens, one after
        notifications (several may share one), and one at least every 10 seconds.

        After each, the consumer reads what there is to do. A wake-up may come for nothing, and none is
        missed: a lost connection is replaced within a second, followed by a wake-up. While there is no
        connection, and always behind a transaction-mode pooler, which does not support LISTEN, they
        come every second. Uses a connection outside of the pool; `contextlib.aclosing` ends it.
        """
        return poll() if self._transaction_pooler else wake_ups(self._connect, channel)

    async def ping(self) -> None:
        """Return if the server answers and takes writes. Raises DatabaseError, DatabaseReadOnlyError."""
        if await self.fetchval("SELECT current_setting('transaction_read_only')") == "on":
            raise DatabaseReadOnlyError(READ_ONLY)

    async def close(self) -> None:
        """Wait for running statements, then close all connections. What still runs after ten seconds is
        ended: a statement whose server is gone may never be over."""
        with _Wrapped(), suppress(TimeoutError):
            await asyncio.wait_for(self._pool.close(), _CLOSE_SECONDS)

    async def _run(self, method: str, query: str, args: tuple[object, ...]) -> Any:
        """What a method of the driver's connections returns for one statement.

        The driver parses and runs it in two steps, which a transaction-mode pooler keeps on one server only
        inside a transaction.
        """
        if self._transaction_pooler:
            async with self.transaction() as connection:
                return await getattr(connection, method)(query, *args)
        with _Wrapped(), span(name_of(query) or "query", **_POSTGRESQL):
            connection = await self._acquire()
            in_order = False
            try:
                result = await getattr(connection, method)(query, *args)
                in_order = True
            finally:
                await self._pool.release(connection, in_order=in_order)
            return result

    async def _acquire(self) -> asyncpg.Connection:
        """A connection of the pool; the wait for it is measured."""
        began = time.perf_counter()
        try:
            return await self._pool.acquire(seconds=_ACQUIRE_SECONDS)
        finally:
            POOL_WAIT_SECONDS.observe(time.perf_counter() - began)


async def _find_vector(options: dict[str, Any]) -> tuple[str, bool]:
    """The extension's schema, and whether its names are found without naming the schema."""
    connection = await asyncpg.connect(**options)
    try:
        async with connection.transaction(readonly=True):
            row = await connection.fetchrow(_FIND_VECTOR)
    finally:
        await connection.close()
    if row is None:
        raise ConfigurationError("This database has no Semblance schema: run `semblance migrate`.")
    return row["schema"], row["visible"]


async def _leave(_: asyncpg.Connection) -> None:
    """When a connection returns to the pool, only roll back an open transaction.

    By default the pool asks the server to reset the session, which takes as long as a small query. There is
    nothing to reset, because settings, locks and temporary tables all belong to a transaction.
    """


async def _set_codecs(connection: asyncpg.Connection, *, schema: str) -> None:
    async with connection.transaction():
        await register_vector(connection, schema=schema)
        # Binary, because COPY takes nothing else here; the first byte is the format's version.
        await connection.set_type_codec(
            "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
        )


def _encode_jsonb(value: object) -> bytes:
    return b"\x01" + json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _decode_jsonb(data: bytes) -> Any:
    return json.loads(data[1:])


class _Wrapped:
    """Turns the driver's errors into the project's. A class, since every statement is in one, and a generator
    takes longer."""

    def __init__(self, *, writes: bool = True) -> None:
        """writes: whether the transaction may write."""
        self._writes = writes

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, Exception):
            _stay_cancelled(exc)
            _raise_wrapped(exc, writes=self._writes)


def _stay_cancelled(exc: Exception) -> None:
    """Let a task that is cancelled in a transaction end as cancelled, even if the rollback fails: by the
    request that cancels the statement, for one, which may arrive only then."""
    cause: BaseException | None = exc
    task = asyncio.current_task()
    while cause is not None and task is not None and task.cancelling():
        if isinstance(cause, asyncio.CancelledError):
            raise cause from exc
        cause = cause.__context__


def _raise_wrapped(exc: Exception, *, writes: bool) -> None:
    """Raise the project's error for one of the driver; return for any other."""
    match exc:
        case asyncpg.ClientConfigurationError():
            raise ConfigurationError(f"{DATABASE_SETTING} cannot be used: {exc}") from exc
        case asyncpg.DiskFullError():
            raise DatabaseFullError(f"The database's disk is full: {exc}") from exc
        case _ if isinstance(exc, _UNAVAILABLE):
            raise DatabaseError(f"The database cannot be reached: {str(exc) or type(exc).__name__}") from exc
        case asyncpg.TransactionRollbackError():
            # A deadlock, which ends one of those that wait for each other.
            raise DatabaseError(f"The database gave up a transaction for the sake of others: {exc}") from exc
        case asyncpg.UndefinedTableError():
            raise ConfigurationError(
                f"The schema is not up to date ({exc}): run `semblance migrate`."
            ) from exc
        case asyncpg.DataError():
            # Its message quotes the value.
            raise QueryError(f"The database refused a value: {type(exc).__name__}.") from None
        case asyncpg.ReadOnlySQLTransactionError() if writes:
            raise DatabaseReadOnlyError(READ_ONLY) from exc
        case asyncpg.PostgresError():
            # The detail quotes the row, with its e-mail address or embedding, and would end up in a log.
            exc.detail = None
            refused = ReferenceGoneError if isinstance(exc, asyncpg.ForeignKeyViolationError) else QueryError
            raise refused(f"The database refused a statement: {exc}") from exc
        case asyncpg.InterfaceError() if isinstance(exc.__context__, _UNAVAILABLE):
            # The end of a transaction fails after its connection was lost, and says only that.
            _raise_wrapped(exc.__context__, writes=writes)
        case asyncpg.InterfaceError() | asyncpg.InternalClientError():
            raise DatabaseError(f"The connection to the database cannot be used: {exc}") from exc
