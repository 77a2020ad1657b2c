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
        raise typer.BadParameter("write a number and s, m, h or d, such as 1h")
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
            help="How long a picture may be without a row. Must exceed the time any upload takes.",
        ),
    ] = "1h",  # type: ignore[assignment]  # parsed like typed input
    force: Annotated[
        bool, typer.Option("--force", help="Continue although no stored picture belongs to the database.")
    ] = False,
) -> None:
    """Remove pictures that no row of the database names, and report rows whose picture is missing.

    This cleans up after uploads that a crash interrupted; interrupted deletions are completed by the match
    workers. It can run at any time, also while the service runs, and be repeated. Rows are never removed. The
    database is that of SEMBLANCE_DATABASE_URL, else the running stack's, else the embedded one, which is
    started for it.

    The exit status is 1 if a row's picture is missing.

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
    """Render again, without metadata, pictures that were stored as they came.

    Such files may reveal where and with which camera a photo was taken, or have a format that browsers do not
    show. Each is replaced by an upright JPEG in sRGB without metadata, with a feed size and a thumbnail. Its
    row and the chats that show it are updated, and the old file is removed. After an interruption the same
    command continues; it can run while the service runs. Uses the same database as `migrate`, as its owner.

    The exit status is 1 if a picture could not be cleaned.

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
        bool, typer.Option("--dry-run", help="Check for each picture whether it exists, and change nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(help="File of JSON lines, one per picture. Default: a new file in the home."),
    ] = None,
) -> None:
    """Copy pictures from the buckets of the app that Semblance replaces, and point their rows to the copies.

    SEMBLANCE_OLD_STORAGE names the bucket of each table. Each picture is stored like an upload: upright,
    without metadata, with a feed size and a thumbnail. The files are read back before the row changes, and
    chats that show the picture are updated. The originals stay. A picture that is missing or cannot be read
    is reported, and its row stays as it is. The replaced app cannot find a picture whose row has changed, so
    end its clients first.

    After an interruption the same command continues; it can run while the service runs. Uses the same
    database as `migrate`, as its owner. The exit status is 1 if a picture was not copied.

    [bold]Examples[/]

      semblance storage copy --dry-run
      semblance storage copy --report copied.jsonl
    """
    from ops.commands.storage.pictures import copy_storage

    if not copy_storage(get_settings(), dry_run=dry_run, report=report):
        raise typer.Exit(1)
