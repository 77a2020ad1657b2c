"""`semblance schools`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings

schools = typer.Typer(no_args_is_help=True, help="Schools that users call by several names.")


@schools.command("import")
def schools_import(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or JSON lines.", exists=True, dir_okay=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, but write nothing.")
    ] = False,
) -> None:
    """Import which names and domains mean the same school, so that its users are matched with each other.

    The columns are name, domains and aliases. Several domains or aliases are separated by semicolons, or
    written as a list in JSON. A school with the same name is updated; columns that are not in the file keep
    their values, and other schools stay. Faces of users whose school changes are matched again at once. The
    database is that of SEMBLANCE_DATABASE_URL, else the running stack's, else the embedded one, which is
    started for it. The exit status is 1 if a row could not be imported.

    [bold]Examples[/]

      semblance schools import schools.csv --dry-run
      semblance schools import schools.json
    """
    from ops.commands.schools.schools import import_schools

    if not import_schools(get_settings(), file, dry_run=dry_run):
        raise typer.Exit(1)


@schools.command("list")
def schools_list(
    unknown: Annotated[
        bool, typer.Option("--unknown", help="List names that users give and no known school has.")
    ] = False,
) -> None:
    """List the known schools and how many users each has."""
    from ops.commands.schools.schools import list_schools, list_unknown_schools

    (list_unknown_schools if unknown else list_schools)(get_settings())
