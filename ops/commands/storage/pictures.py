"""`semblance storage`."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from rich.filesize import decimal
from rich.markup import escape
from rich.status import Status
from rich.table import Column, Table

from batch.progress import JobProgress
from batch.report import JobReport, default_report_path
from db.audit import audit
from db.pool import Database
from db.raw_pictures import RawPictures
from db.stored_pictures import PictureRow
from ops.commands.database import connected, open_database
from ops.commands.output import console
from ops.storage.clean import TABLES, Cleaned, CleanOutcome, clean, look_for
from ops.storage.sweep import SweepReport, sweep
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.storage.opening import open_storage

_LINE_EVERY_S = 5.0

_CONNECTIONS = 4

_OUTCOMES: dict[CleanOutcome, str] = {
    "missing": "not in the picture store; their rows stay as they are",
    "unreadable": "unreadable; left as they are",
    "changed": "changed meanwhile; run the command again",
}


def sweep_storage(settings: Settings, *, grace: timedelta, dry_run: bool, force: bool) -> bool:
    """Sweep the picture store and print what was found. Returns whether every row has its picture."""
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
    """Clean the pictures and print the outcome. Returns whether all pictures of the main store are now
    clean."""
    # Only the owner may change the picture that a user's row names.
    with open_database(settings, as_owner=True) as dsn:
        counts = asyncio.run(_clean(settings, dsn, dry_run=dry_run))
    if counts is None:
        return True
    _print_outcomes(counts, "cleaned")
    return counts.total() == counts["cleaned"]


def copy_storage(settings: Settings, *, dry_run: bool, report: Path | None) -> bool:
    """Copy the pictures of the app that is replaced and print the outcome. Returns whether all were copied.

    Raises ConfigurationError if the settings name no place to copy from.
    """
    if not settings.old_storage:
        raise ConfigurationError(
            "Set SEMBLANCE_OLD_STORAGE to the places to copy from, such as faces=s3://faces."
        )
    path = report or default_report_path(settings.home, "copy-pictures")
    with open_database(settings, as_owner=True) as dsn, JobReport(path) as lines:
        counts = asyncio.run(_copy(settings, dsn, lines, dry_run=dry_run))
    _print_outcomes(counts, "would be copied" if dry_run else "copied")
    console.print(f"report: {path}", highlight=False, soft_wrap=True)
    return counts.total() == counts["cleaned"]


def _print_outcomes(counts: Counter[CleanOutcome], done: str) -> None:
    table = Table("", Column("Pictures", justify="right"))
    for outcome in get_args(CleanOutcome):
        if outcome == "cleaned" or counts[outcome]:
            table.add_row(done if outcome == "cleaned" else _OUTCOMES[outcome], f"{counts[outcome]:,}")
    console.print(table)


async def _clean(settings: Settings, dsn: str, *, dry_run: bool) -> Counter[CleanOutcome] | None:
    storage = open_storage(settings)
    tables = [table for table in TABLES if table not in storage.locations]
    async with connected(dsn, pool_size=_CONNECTIONS) as database:
        counts = await RawPictures(database).count()
        number = sum(counts.get(table, 0) for table in tables)
        console.print(f"{number:,} pictures are stored as they came.")
        if others := sum(counts.values()) - number:
            console.print(
                f"{others:,} more are in the old app's buckets: `semblance storage copy` copies them."
            )
        if dry_run:
            return None
        with console.status("Cleaning the pictures") as status:
            progress = _Progress(status)
            done = itertools.count(1)

            def note(result: Cleaned) -> None:
                _print_failure(result)
                progress(f"of {number:,} pictures", next(done))

            cleaned = await clean(database, storage, settings, note, tables)
        await _audit(database, "pictures.clean", cleaned)
    return cleaned


async def _copy(settings: Settings, dsn: str, report: JobReport, *, dry_run: bool) -> Counter[CleanOutcome]:
    storage = open_storage(settings)
    tables = list(storage.locations)
    async with connected(dsn, pool_size=_CONNECTIONS) as database:
        counts = await RawPictures(database).count()
        number = sum(counts.get(table, 0) for table in tables)
        for table, location in storage.locations.items():
            console.print(
                f"{counts.get(table, 0):,} rows of {table} name pictures in {escape(location.url)}.",
                soft_wrap=True,
            )

        with JobProgress(console, "copy", number) as progress:

            def note(result: Cleaned) -> None:
                report.write([_line(result)])
                _print_failure(result)
                progress.advance(1, int(result.outcome != "cleaned"))

            if dry_run:
                return await look_for(database, storage, note, tables)
            copied = await clean(database, storage, settings, note, tables)
        await _audit(database, "pictures.copy", copied)
    return copied


async def _audit(database: Database, action: str, counts: Mapping[Any, int]) -> None:
    async with database.transaction() as connection:
        await audit(connection, action, "pictures", after=counts)


def _line(result: Cleaned) -> dict[str, object]:
    """The line of the report about a picture."""
    picture = result.picture
    line: dict[str, object] = {"table": picture.table, "id": str(picture.id), "path": picture.key}
    if result.outcome == "cleaned":
        return line | ({"outcome": "copied", "key": result.key} if result.key else {"outcome": "found"})
    return line | {"outcome": result.outcome, "reason": result.reason}


def _print_failure(result: Cleaned) -> None:
    if result.outcome != "cleaned":
        row = f"{result.picture.table} {result.picture.id} {result.picture.key}"
        console.print(f"[red]{result.outcome}[/] {escape(f'{row}: {result.reason}')}", soft_wrap=True)


async def _sweep(
    settings: Settings, dsn: str, *, grace: timedelta, dry_run: bool, force: bool
) -> SweepReport:
    storage = open_storage(settings)
    async with connected(dsn) as database:
        with console.status("Listing the pictures") as status:
            report = await sweep(
                database,
                storage,
                grace=grace,
                dry_run=dry_run,
                force=force,
                on_progress=_Progress(status),
                on_dangling=_print_dangling,
            )
        if report.orphans and not dry_run:
            await _audit(database, "pictures.sweep", {"removed": report.orphans, "size": report.orphans_size})
    return report


def _print_dangling(row: PictureRow) -> None:
    console.print(f"[red]missing[/] {row.table} {row.id} {escape(row.key)}", soft_wrap=True)


class _Progress:
    """Shows progress: next to the spinner on a terminal, else as a line every few seconds."""

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
