"""`semblance migrate`."""

from __future__ import annotations

from db.embedded import EmbeddedPostgres
from db.migrate import check_server, current, upgrade
from semblance.cli.output import console
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.stack.home import StackHome, StackLock
from semblance.stack.state import read_state


def migrate_database(settings: Settings) -> None:
    """Upgrade the database in use, wherever it runs. Raises DatabaseError, ConfigurationError."""
    if settings.database_url is not None:
        _upgrade(settings.database_url.get_secret_value())
        return
    home = StackHome.of(settings)
    if state := read_state(home):
        _upgrade(state.database_url)
        return
    home.prepare()
    lock = StackLock(home)
    if not lock.acquire():
        raise ConfigurationError(f"The stack in {home.root} is starting or stopping; try again.")
    postgres = EmbeddedPostgres(home.postgres)
    try:
        _upgrade(postgres.start())
    finally:
        postgres.stop()
        lock.release()


def _upgrade(dsn: str) -> None:
    check_server(dsn)
    upgrade(dsn)
    console.print(f"The schema is at revision {current(dsn)}.")
