"""`semblance migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings
from semblance.errors import BadInputError


def migrate(
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Take over the database of the app that Semblance replaces, while that app still runs.",
        ),
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="Remove what only that app needed, once it is gone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="REVISION",
            help="Go back to an older revision, for an older version of Semblance; what is newer is lost.",
        ),
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Name or digest of the model pack that made the existing embeddings, if you know it."
        ),
    ] = None,
) -> None:
    """Bring the database schema up to date.

    The database is that of SEMBLANCE_OWNER_DATABASE_URL or SEMBLANCE_DATABASE_URL, else the running stack's,
    else the embedded one, which is started for it. [cyan]semblance up[/] does the same by itself.

    [cyan]--adopt[/] and [cyan]--finish[/] first report what they would do, and ask; docs/migration.md
    describes the steps. Without a terminal, nothing is changed unless [cyan]--yes[/] is given. The exit
    status is 1 if something stands in the way. If a run is interrupted, run the same command again to
    complete it.

    [cyan]--to[/] is for going back to an older version of Semblance: run it with the newer one, then start
    the older one. docs/operations.md describes it.

    [bold]Examples[/]

      semblance migrate
      semblance migrate --to 0029
      semblance migrate --adopt
      semblance migrate --adopt --yes --pack buffalo_l
      semblance migrate --finish
    """
    if adopt and finish:
        raise BadInputError(
            "--adopt and --finish are two phases; the app that is replaced ends between them."
        )
    if to is not None:
        if adopt or finish or pack is not None:
            raise BadInputError("--to goes alone, or with --yes.")
        from ops.commands.schema.migration import go_back

        if not go_back(get_settings(), to, yes=yes):
            raise typer.Exit(1)
        return
    if not adopt and not finish:
        if yes or pack is not None:
            raise BadInputError("--yes belongs to --adopt, --finish and --to, and --pack to --adopt.")
        from ops.commands.schema.migration import migrate_database

        migrate_database(get_settings())
        return
    if finish and pack is not None:
        raise BadInputError("--pack belongs to --adopt.")
    from ops.commands.schema.adoption import adopt_database

    if not adopt_database(get_settings(), "finish" if finish else "expand", pack=pack, yes=yes):
        raise typer.Exit(1)
