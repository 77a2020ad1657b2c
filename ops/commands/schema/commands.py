"""`semblance migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings
from semblance.errors import BadInputError


def migrate(
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Take over the old app's database, while that app goes on.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Remove what only the old app needed, once it is gone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Name or digest of the model pack that made the old embeddings, where it is known."
        ),
    ] = None,
) -> None:
    """Bring the database schema up to date.

    Works on SEMBLANCE_OWNER_DATABASE_URL or SEMBLANCE_DATABASE_URL, else on the running stack's database,
    else on the embedded one, which is started for it. [cyan]semblance up[/] does the same by itself.

    [cyan]--adopt[/] and [cyan]--finish[/] first say what they would do, and ask; docs/migration.md leads
    through it. Where nobody can be asked, nothing is changed without [cyan]--yes[/]. The exit status is 1
    where something stands in the way. A run that was interrupted is completed by the same command.

    [bold]Examples[/]

      semblance migrate
      semblance migrate --adopt
      semblance migrate --adopt --yes --pack buffalo_l
      semblance migrate --finish
    """
    if adopt and finish:
        raise BadInputError("--adopt and --finish are two phases; the old app ends between them.")
    if not adopt and not finish:
        if yes or pack is not None:
            raise BadInputError("--yes and --pack belong to --adopt and --finish.")
        from ops.commands.schema.migration import migrate_database

        migrate_database(get_settings())
        return
    if finish and pack is not None:
        raise BadInputError("--pack belongs to --adopt.")
    from ops.commands.schema.adoption import adopt_database

    if not adopt_database(get_settings(), "finish" if finish else "expand", pack=pack, yes=yes):
        raise typer.Exit(1)
