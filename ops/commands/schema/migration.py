"""`semblance migrate`."""

from __future__ import annotations

from db.migrate import check_server, current, upgrade
from ops.commands.database import open_database
from ops.commands.output import console
from semblance.settings import Settings


def migrate_database(settings: Settings) -> None:
    """Upgrade the database in use. Raises DatabaseError, ConfigurationError."""
    with open_database(settings, as_owner=True) as dsn:
        check_server(dsn)
        upgrade(dsn)
        console.print(f"The schema is at revision {current(dsn)}.")
