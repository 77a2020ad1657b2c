"""`python -m batch.rematch`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from batch.cluster import LOCAL
from batch.command import job_command
from batch.rematch.job import SHARD_SIZE, rematch
from matching.rematch import Kind, Scope


def main(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            help="Only faces stored or analyzed since then; UTC, unless an offset is given.",
            show_default=False,
        ),
    ] = None,
    school: Annotated[
        str | None,
        typer.Option(help="Only faces of this school's profiles; any of its names.", show_default=False),
    ] = None,
    users: Annotated[bool, typer.Option("--users", help="Only matches between users.")] = False,
    celebrities: Annotated[
        bool, typer.Option("--celebrities", help="Only matches with celebrities.")
    ] = False,
    settled: Annotated[
        bool, typer.Option("--settled", help="Also faces whose celebrities are known to be up to date.")
    ] = False,
    shard_size: Annotated[
        int,
        typer.Option(min=1, help="Faces that are written in one transaction, and done again after a kill."),
    ] = SHARD_SIZE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Score and count what would change, but write nothing.")
    ] = False,
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", help="Address of Ray; `local` runs one for this job alone."),
    ] = LOCAL,
) -> None:
    """Match all faces again, with each other and with the gallery, by the current rules.

    Run it after a change of the weights, of the gallery or of the model pack. The service goes on answering.
    Matches that have not changed are left alone, and no user is notified of them again. A face that has its
    celebrities from an earlier run is passed over if neither it nor the rules nor the gallery has changed.
    Matches that are no longer found are removed, except for pairs that a user likes or that have led to a
    baby picture or a connection. The same command completes an interrupted run within a day.

    \b
    On a running cluster, with the interpreter's absolute path:
      ray job submit --address http://127.0.0.1:8265 -- /opt/semblance/.venv/bin/python \\
        -m batch.rematch
    On this machine alone:
      python -m batch.rematch --dry-run
      python -m batch.rematch --celebrities --since 2026-01-31
      python -m batch.rematch --users --school "uni.edu"
    """
    console = Console()
    since = None if since is None else _utc(since)
    kinds: tuple[Kind, ...] = ("users", "celebrities")
    if users != celebrities:
        kinds = ("users",) if users else ("celebrities",)
    scope = Scope(kinds, since, school, shard_size, settled)
    with job_command() as settings:
        summary = asyncio.run(rematch(scope, settings, console, dry_run=dry_run, address=address))
        console.print(summary.table())


def _utc(time: datetime) -> datetime:
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise typer.BadParameter("A time lies in the years 1 to 9999.", param_hint="--since") from None


if __name__ == "__main__":
    typer.run(main)
