"""`semblance storage`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from datetime import timedelta
from typing import get_args

from rich.filesize import decimal
from rich.markup import escape
from rich.status import Status
from rich.table import Column, Table

from batch.clean import Cleaned, Outcome, clean
from batch.sweep import SweepReport, sweep
from db.pool import Database
from db.raw_pictures import RawPictures
from db.stored_pictures import PictureRow
from semblance.cli.database import connected, open_database
from semblance.cli.output import console
from semblance.settings import Settings
from semblance.storage import open_storage

_LINE_EVERY_S = 5.0

_OUTCOMES: dict[Outcome, str] = {
    "cleaned": "cleaned",
    "missing": "not in the storage",
    "unreadable": "cannot be read; left as they are",
    "changed": "changed meanwhile; run the command again",
}


def sweep_storage(settings: Settings, *, grace: timedelta, dry_run: bool, force: bool) -> bool:
    """Sweep and print what was found; returns whether every row has its picture."""
    with open_database(settings) as dsn:
        report = asyncio.run(_sweep(settings, dsn, grace=grace, dry_run=dry_run, force=force))
    table = Table("", Column("Pictures", justify="right"), Column("Size", justify="right"))
    table.add_row("stored", f"{report.objects:,}", decimal(report.objects_size))
    table.add_row(
        "without a row, to be removed" if dry_run else "without a row, removed",
        f"{report.orphans:,}",
        decimal(report.orphans_size),
    )
    colour = "red" if report.dangling else "green"
    table.add_row("missing", f"[{colour}]{report.dangling:,}[/]", "")
    console.print(table)
    return not report.dangling


def clean_storage(settings: Settings, *, dry_run: bool) -> bool:
    """Clean what is stored and print what became of it; returns whether all pictures are clean now."""
    # Only the owner may let another's row name another picture.
    with open_database(settings, as_owner=True) as dsn:
        counts = asyncio.run(_clean(settings, dsn, dry_run=dry_run))
    if counts is not None:
        table = Table("", Column("Pictures", justify="right"))
        for outcome in get_args(Outcome):
            if outcome == "cleaned" or counts[outcome]:
                table.add_row(_OUTCOMES[outcome], f"{counts[outcome]:,}")
        console.print(table)
    return counts is None or counts.total() == counts["cleaned"]


async def _clean(settings: Settings, dsn: str, *, dry_run: bool) -> Counter[Outcome] | None:
    storage = open_storage(settings)
    database = await Database.connect(dsn, pool_size=4)
    try:
        number = await RawPictures(database).count()
        console.print(f"{number:,} pictures are stored as they came.")
        if dry_run:
            return None
        with console.status("Cleaning the pictures") as status:
            progress = _Progress(status)
            done = itertools.count(1)

            def note(result: Cleaned) -> None:
                if result.outcome != "cleaned":
                    row = f"{result.picture.table} {result.picture.id} {result.picture.key}"
                    console.print(
                        f"[red]{result.outcome}[/] {escape(f'{row}: {result.reason}')}", soft_wrap=True
                    )
                progress(f"of {number:,} pictures", next(done))

            return await clean(database, storage, settings, note)
    finally:
        await database.close()


async def _sweep(
    settings: Settings, dsn: str, *, grace: timedelta, dry_run: bool, force: bool
) -> SweepReport:
    storage = open_storage(settings)
    async with connected(dsn) as database:
        with console.status("Listing the pictures") as status:
            return await sweep(
                database,
                storage,
                grace=grace,
                dry_run=dry_run,
                force=force,
                on_progress=_Progress(status),
                on_dangling=_print_dangling,
            )


def _print_dangling(row: PictureRow) -> None:
    console.print(f"[red]missing[/] {row.table} {row.id} {escape(row.key)}", soft_wrap=True)


class _Progress:
    """Shows how far the sweep is: beside the spinner, or as a line now and then where there is none."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._printed = time.monotonic()

    def __call__(self, what: str, number: int) -> None:
        line = f"{number:,} {what}"
        if console.is_terminal:
            self._status.update(line)
        elif time.monotonic() - self._printed >= _LINE_EVERY_S:
            self._printed = time.monotonic()
            console.print(line)
