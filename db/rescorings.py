"""Rescorings that operators ask for, and the distribution of the scores there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from db.admin_events import tell_operators
from db.audit import audit
from db.pool import Database
from db.queries import sql
from semblance.actor import actor_var

BINS = 50
"""Bins of a histogram, each of 0.02."""

SAMPLED_ROWS = 200_000
"""Most rows of each table that a histogram reads, about a tenth of a second."""


@dataclass(frozen=True, slots=True)
class RescoringRow:
    """A rescoring of all stored matches by the current rules. total: rows to be read, None before it begins.
    rescored, removed: how many got another score, and how many were below the threshold."""

    id: UUID
    started_by: str
    status: Literal["pending", "running", "completed", "failed"]
    total: int | None
    done: int
    rescored: int
    removed: int
    error_message: str | None
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RescoringProgress:
    """How far a rescoring is, in rows."""

    total: int
    done: int = 0
    rescored: int = 0
    removed: int = 0


@dataclass(frozen=True, slots=True)
class ScoreHistogram:
    """counts: of the scores in each of BINS equal bins of 0..1; estimated from a sample if `sampled`."""

    counts: Sequence[int]
    sampled: bool


class Rescorings:
    """The table `rescorings`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self) -> bool:
        """Ask for a rescoring. Returns False if one is waiting or running, which also applies rules that were
        changed since it began."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(sql.start_rescoring, actor_var.get())
            if row is None:
                return False
            await audit(connection, "rescoring.start", str(row["id"]), after=row["rules"])
            await tell_operators(connection, "jobs", {"rescoring": str(row["id"])})
        return True

    async def latest(self) -> RescoringRow | None:
        """The latest one, if there was any."""
        row = await self._database.fetchrow(sql.latest_rescoring)
        return None if row is None else RescoringRow(**row)

    async def claim(self, worker: UUID, lease: timedelta) -> UUID | None:
        """The one that waits or was left, for this worker until the lease ends."""
        claimed: UUID | None = await self._database.fetchval(sql.claim_rescoring, worker, lease)
        return claimed

    async def record(
        self, rescoring: UUID, worker: UUID, progress: RescoringProgress, lease: timedelta
    ) -> bool:
        """The heartbeat. Returns False if another worker has it now."""
        async with self._database.transaction() as connection:
            held = await connection.fetchval(
                sql.record_rescoring,
                rescoring,
                worker,
                progress.total,
                progress.done,
                progress.rescored,
                progress.removed,
                lease,
            )
            await tell_operators(connection, "jobs", {"rescoring": str(rescoring)})
        return held is not None

    async def end(self, rescoring: UUID, worker: UUID, error: str | None = None) -> None:
        """It is done, or failed with an error."""
        async with self._database.transaction() as connection:
            status = "completed" if error is None else "failed"
            await connection.execute(sql.end_rescoring, rescoring, worker, status, error)
            await tell_operators(connection, "jobs", {"rescoring": str(rescoring)})

    async def histograms(self, rows: int = SAMPLED_ROWS) -> tuple[ScoreHistogram, ScoreHistogram]:
        """The stored scores of matches of users, and of celebrity matches.

        Args:
            rows: of each table that are read; of larger ones a sample, by the size at the last ANALYZE.
        """
        return await self._histogram(sql.score_histogram, rows), await self._histogram(
            sql.celebrity_score_histogram, rows
        )

    async def _histogram(self, query: str, rows: int) -> ScoreHistogram:
        counts, sampled = [0] * BINS, False
        for row in await self._database.fetch(query, BINS, rows):
            counts[row["bin"]] = round(row["count"] / row["share"])
            sampled = row["share"] < 1
        return ScoreHistogram(counts, sampled)
