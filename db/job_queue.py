"""The queue of match jobs as operators see it and change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from db.admin_events import tell_operators
from db.audit import MOST_NAMED, audit
from db.jobs import JobStatus, JobType
from db.pages import ByTime, Page, cut_page
from db.pool import Connection, Database
from db.queries import sql

RETRIED_AT_ONCE = 1000
"""Jobs that one transaction returns to the queue."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A match job with its photo and its user. run_after: when a waiting job is due."""

    id: UUID
    face_id: UUID
    user_id: UUID
    user_name: str | None
    image_path: str
    status: JobStatus
    job_type: JobType
    attempts: int
    max_attempts: int
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    run_after: datetime


@dataclass(frozen=True, slots=True)
class JobsEnded:
    """How many match jobs ended in some time, by outcome."""

    completed: int
    failed: int


class JobQueue:
    """The table `match_jobs`, and whether workers take jobs from it. Every method raises DatabaseError if the
    database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, status: JobStatus, limit: int, after: ByTime | None = None
    ) -> Page[QueuedJob, ByTime]:
        """The latest jobs of a status after a place."""
        rows = await self._database.fetch(sql.page_of_match_jobs, status, *(after or (None, None)), limit)
        shown, following = cut_page(rows, limit, "created_at")
        return Page([QueuedJob(**row) for row in shown], following)

    async def ended(self, window: timedelta) -> JobsEnded:
        """How many have ended during the last `window`."""
        row = await self._database.fetchrow(sql.match_jobs_ended, datetime.now(UTC) - window)
        return JobsEnded(**row) if row else JobsEnded(0, 0)

    async def paused(self) -> bool:
        """Whether workers leave the jobs where they are."""
        return bool(await self._database.fetchval(sql.match_jobs_paused))

    async def pause(self, *, paused: bool) -> None:
        """Let all workers stop taking jobs, or take them again. Jobs in hand are completed."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(sql.pause_match_jobs, paused):
                await audit(
                    connection,
                    "job_queue.pause" if paused else "job_queue.resume",
                    "match_jobs",
                    before={"paused": not paused},
                    after={"paused": paused},
                )
                await tell_operators(connection, "jobs", {"paused": paused})

    async def retry(self, jobs: Sequence[UUID]) -> int:
        """Return failed jobs to the queue with all their attempts; returns how many had failed."""
        async with self._database.transaction() as connection:
            return await _retry(connection, list(jobs))

    async def retry_all(self) -> int:
        """Return all failed jobs to the queue; returns how many."""
        retried = 0
        while True:
            async with self._database.transaction() as connection:
                some = await _retry(connection, None)
            retried += some
            if some < RETRIED_AT_ONCE:
                return retried


async def _retry(connection: Connection, jobs: list[UUID] | None) -> int:
    rows = await connection.fetch(sql.retry_failed_match_jobs, jobs, RETRIED_AT_ONCE)
    if rows:
        ids = [str(row["id"]) for row in rows[:MOST_NAMED]]
        target = ids[0] if len(rows) == 1 else "match_jobs"
        await audit(connection, "job.retry", target, after={"count": len(rows), "ids": ids})
        await tell_operators(connection, "jobs", {"retried": len(rows)})
    return len(rows)
