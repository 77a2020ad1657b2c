"""`semblance gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings

gallery = typer.Typer(no_args_is_help=True, help="The gallery of celebrities.")


# With a callback, a group of one command still takes its name.
@gallery.callback()
def _root() -> None:
    pass


@gallery.command("export")
def gallery_export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", file_okay=False)],
) -> None:
    """Write all pictures of the gallery into a folder, with a [cyan]metadata.json[/].

    The folder is one that [cyan]semblance ingest[/] takes: ingested into another database, it gives the same
    pictures, names, categories, genders and people. The database is that of SEMBLANCE_DATABASE_URL, else the
    running stack's, else the embedded one, which is started for it. An export that was interrupted has no
    metadata.json: remove the folder and export again.

    [bold]Example[/]

      semblance gallery export ./gallery
    """
    from ops.commands.gallery.export import export_gallery

    export_gallery(get_settings(), folder)
