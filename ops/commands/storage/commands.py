"""`semblance storage`."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ops.commands.environment import get_settings

storage = typer.Typer(no_args_is_help=True, help="The stored pictures.")


def _duration(text: str) -> timedelta:
    """`90s`, `15m`, `1h` or `2d`."""
    found = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if found is None:
        raise typer.BadParameter("write a number and s, m, h or d, like 1h")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


@storage.command("sweep")
def storage_sweep(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, but remove nothing.")] = False,
    grace: Annotated[
        timedelta,
        typer.Option(
            parser=_duration,
            metavar="TIME",
            help="How long a picture may be without a row: longer than any upload takes.",
        ),
    ] = "1h",  # type: ignore[assignment]  # parsed like what is typed
    force: Annotated[
        bool, typer.Option("--force", help="Go on although no stored picture belongs to the database.")
    ] = False,
) -> None:
    """Remove pictures that no row of the database names, and report rows whose picture is missing.

    What a crash leaves of an upload is cleared up so; what it leaves of a deletion, the match workers
    finish by themselves. It can run at any time, beside the service, and be repeated. Rows are never
    removed. Works on SEMBLANCE_DATABASE_URL, else on the running stack's database, else on the embedded
    one, which is started for it.

    The exit status is 1 when a row's picture is missing.

    [bold]Examples[/]

      semblance storage sweep --dry-run
      semblance storage sweep
      semblance storage sweep --grace 1d
    """
    from ops.commands.storage.pictures import sweep_storage

    if not sweep_storage(get_settings(), grace=grace, dry_run=dry_run, force=force):
        raise typer.Exit(1)


@storage.command("clean")
def storage_clean(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, but change nothing.")] = False,
) -> None:
    """Store again as pixels alone what is stored as it came: users' photos, celebrities, baby pictures.

    Such files may say where and with which camera a photo was taken, or be of a format that browsers do not
    show. Each is replaced by an upright JPEG in sRGB without metadata, with a feed size and a thumbnail
    beside it; its row and the chats that show it follow, and the old file is removed. Interrupted or killed,
    the same command goes on; it can run beside the service. Works on the database that `migrate` does, as its
    owner.

    The exit status is 1 when a picture could not be cleaned.

    [bold]Examples[/]

      semblance storage clean --dry-run
      semblance storage clean
    """
    from ops.commands.storage.pictures import clean_storage

    if not clean_storage(get_settings(), dry_run=dry_run):
        raise typer.Exit(1)


@storage.command("copy")
def storage_copy(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask for each picture whether it is there, and change nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="File of JSON lines, one per picture; a new one in the home by default."),
    ] = None,
) -> None:
    """Copy the old system's pictures into the picture store, and let their rows name the copies.

    Where they lie says SEMBLANCE_OLD_STORAGE, by table. Each is stored as an upload is: upright, without
    metadata, with a feed size and a thumbnail beside it. The files are read back before the row changes, and
    chats that show the picture follow. The originals stay; what is missing or cannot be read is named, and
    its row stays as it is. The old system finds no picture any more whose row has changed, so first let its
    clients go.

    Interrupted or killed, the same command goes on; it can run beside the service. Works on the database that
    `migrate` does, as its owner. The exit status is 1 when a picture was not copied.

    [bold]Examples[/]

      semblance storage copy --dry-run
      semblance storage copy --report copied.jsonl
    """
    from ops.commands.storage.pictures import copy_storage

    if not copy_storage(get_settings(), dry_run=dry_run, report=report):
        raise typer.Exit(1)
