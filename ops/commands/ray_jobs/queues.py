"""`semblance jobs queues`: the queues in the database."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from rich.markup import escape
from rich.table import Column, Table

from db.inference_jobs import InferenceJobs
from db.jobs import JobStats, JobStatus, MatchJobs
from ops.commands.database import connected, open_database
from ops.commands.output import console
from semblance.settings import Settings

_STATUSES: Final[tuple[JobStatus, ...]] = ("pending", "processing", "completed", "failed")


def show_queues(settings: Settings) -> None:
    """Print a row for each queue, and the most frequent failures."""
    with open_database(settings) as dsn:
        matches, texts = asyncio.run(_stats(dsn))
    columns = [Column(status.capitalize(), justify="right") for status in _STATUSES]
    table = Table(
        "Queue", *columns, Column("Oldest waits", justify="right"), Column("Takes", justify="right")
    )
    for name, stats in (("match jobs", matches), ("texts", texts)):
        counts = {entry.status: entry.count for entry in stats.statuses}
        table.add_row(
            name, *(f"{counts.get(status, 0):,}" for status in _STATUSES), _waits(stats), _takes(stats)
        )
    console.print(table)
    for name, stats in (("match jobs", matches), ("texts", texts)):
        for failure in stats.failures:
            console.print(f"{failure.count:,} {name} failed: {escape(failure.message or 'no reason given')}")


async def _stats(dsn: str) -> tuple[JobStats, JobStats]:
    async with connected(dsn) as database:
        return await MatchJobs(database).stats(), await InferenceJobs(database).stats()


def _waits(stats: JobStats) -> str:
    oldest = [entry.oldest for entry in stats.statuses if entry.status == "pending"]
    return f"{(datetime.now(UTC) - oldest[0]).total_seconds():,.0f} s" if oldest else ""


def _takes(stats: JobStats) -> str:
    return "" if stats.average_seconds is None else f"{stats.average_seconds:.2f} s"
