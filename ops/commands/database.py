"""The database that the commands work on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from db.logins import application_dsn, owner_dsn
from db.pool import Database
from ops.stack.embedded import EmbeddedPostgres
from ops.stack.home import StackHome, StackLock
from ops.stack.state import read_state
from semblance.errors import ConfigurationError
from semblance.settings import Settings


@contextmanager
def open_database(settings: Settings, *, as_owner: bool = False) -> Iterator[str]:
    """DSN of the database in use: the one in the settings, else the running stack's, else the embedded one,
    which then runs until the context ends.

    Args:
        settings: of the command.
        as_owner: give the DSN of the database's owner, who migrates it, instead of the application's.

    Raises ConfigurationError while a stack starts or stops, DatabaseError if the server does not start.
    """
    given = settings.migration_database_url if as_owner else settings.database_url
    if given is not None:
        yield given.get_secret_value()
        return
    home = StackHome.of(settings)
    if state := read_state(home):
        yield owner_dsn(state.database_url) if as_owner else state.database_url
        return
    home.prepare()
    lock = StackLock(home)
    # A guardian would mistake this process for a supervisor that hangs.
    if home.is_kept() or not lock.acquire():
        raise ConfigurationError(f"The stack in {home.root} is starting or stopping; try again.")
    postgres = EmbeddedPostgres(home.postgres)
    try:
        dsn = postgres.start()
        yield dsn if as_owner else application_dsn(dsn)
    finally:
        postgres.stop()
        lock.release()


@asynccontextmanager
async def connected(dsn: str, *, pool_size: int = 1) -> AsyncIterator[Database]:
    """Connections to the database until the context ends. Raises DatabaseError."""
    database = await Database.connect(dsn, pool_size=pool_size)
    try:
        yield database
    finally:
        await database.close()
