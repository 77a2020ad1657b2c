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
        bool, typer.Option("--dry-run", help="Tell what would change, but write nothing.")
    ] = False,
) -> None:
    """Tell which names and domains mean one school, so that its users are matched with each other.

    The columns are name, domains and aliases; of the latter two several stand in one cell with semicolons
    between them, in JSON in a list. A school of the same name is changed, and keeps what has no column here;
    others stay. Faces of users who are then of another school are matched again at once. Works on
    SEMBLANCE_DATABASE_URL, else on the running stack's database, else on the embedded one, which is started
    for it. The exit status is 1 where a row could not be taken.

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
        bool, typer.Option("--unknown", help="Instead what users call schools that are not among them.")
    ] = False,
) -> None:
    """All schools that go by several names, and how many users are of each."""
    from ops.commands.schools.schools import list_schools, list_unknown_schools

    (list_unknown_schools if unknown else list_schools)(get_settings())
