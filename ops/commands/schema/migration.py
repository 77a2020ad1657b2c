"""`semblance migrate`, up and back."""

from __future__ import annotations

import typer
from rich.markup import escape

from db.migrate import MIGRATIONS, check_server, current, downgrade, upgrade
from db.text_indexes import ensure_index
from deployments.texts.manifest import text_model
from ops.commands.database import open_database
from ops.commands.output import console
from semblance.errors import BadInputError, PackError
from semblance.settings import Settings


def migrate_database(settings: Settings) -> None:
    """Upgrade the database in use, and make the vector index of the text model in use. Raises DatabaseError,
    ConfigurationError."""
    with open_database(settings, as_owner=True) as dsn:
        check_server(dsn)
        upgrade(dsn)
        console.print(f"The schema is at revision {current(dsn)}.")
        try:
            ensure_index(dsn, text_model(settings))
        except PackError as exc:
            # The pack may be on other machines only. Without the index, searches are right and slower.
            console.print(f"The vector index of texts was not made: {escape(exc.message)}")


def go_back(settings: Settings, revision: str, *, yes: bool) -> bool:
    """Migrate back to an older revision. Returns whether the schema is there now.

    Args:
        settings: of the command.
        revision: where to.
        yes: do not ask. Without it, and without a terminal, nothing is changed.

    Raises BadInputError for a revision that is none or newer, DatabaseError, ConfigurationError.
    """
    with open_database(settings, as_owner=True) as dsn:
        now = current(dsn)
        older = [each.revision for each in MIGRATIONS if now is not None and each.revision <= now]
        if revision not in older:
            raise BadInputError(f"The schema is at revision {now}; there is no way back to {revision}.")
        undone = [each for each in MIGRATIONS if each.revision > revision and each.revision in older]
        if not undone:
            console.print(f"The schema is at revision {revision} already.")
            return True
        names = ", ".join(each.up.name.removesuffix(".up.sql") for each in reversed(undone))
        console.print(f"This undoes {names}. What only they store is lost; back up first: semblance backup.")
        if not yes and not (console.is_terminal and typer.confirm("Go back now?")):
            console.print("Nothing was changed. --yes carries it out without asking.")
            return False
        downgrade(dsn, revision)
        console.print(f"The schema is at revision {current(dsn)}.")
    return True
