"""The queue of match jobs: claimed in batches under a lease; unfinished jobs return when the lease ends."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from db.admin_events import tell_of_ended_jobs
from db.pool import Connection, Database
from db.queries import sql
from db.retention import remove_in_steps
from semblance.tracing import traceparent

JobStatus = Literal["pending", "processing", "completed", "failed"]
JobType = Literal["user_match", "celebrity_match", "both"]


FIRST_DELAY = timedelta(seconds=2)
LONGEST_DELAY = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=2)
"""No job waits longer for its next attempt. One that does is from before the clock was set back."""

FAILURES_SHOWN = 20
SPEED_WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """A match job that `worker` may work on until its lease ends.

    attempt: counts from 1. created_at: when its photo was uploaded, or its search was asked for. traceparent:
    of the request that queued it, if that was traced. face: the columns of the query `probe_face`, of its
    face. settings: the values of all system settings that are stored. Both are as they were at the claim.
    """

    id: UUID
    face_id: UUID
    job_type: JobType
    attempt: int
    max_attempts: int
    worker: UUID
    created_at: datetime
    traceparent: str | None
    face: Mapping[str, Any] = field(repr=False, compare=False)
    settings: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class MatchJob:
    """A match job as its owner sees it. error_message: why a failed job failed, why the last attempt at a
    pending job failed, or what a completed job left out. Counts are None until it is completed, and in jobs
    that other clients completed."""

    id: UUID
    face_id: UUID
    status: JobStatus
    job_type: JobType
    attempts: int
    max_attempts: int
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    user_matches: int | None
    celebrity_matches: int | None


@dataclass(frozen=True, slots=True)
class StatusCount:
    """How many match jobs have a status, and when the oldest of them was created."""

    status: JobStatus
    count: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many jobs of a queue have a status, and the age of the oldest of them; 0 without any."""

    status: JobStatus
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Failure:
    """An error message, how many failed match jobs have it, and when the latest of them ended."""

    message: str | None
    count: int
    latest: datetime | None


@dataclass(frozen=True, slots=True)
class JobStats:
    """The queue at a glance.

    Averages, in seconds, are over the jobs completed during SPEED_WINDOW: from claim to completion, and from
    creation to completion; None without any. At most FAILURES_SHOWN failures.
    """

    statuses: list[StatusCount]
    average_seconds: float | None
    average_total_seconds: float | None
    failures: list[Failure]


class MatchJobs:
    """The table `match_jobs`. Every method raises DatabaseError if the database does not answer.

    A job's attempt is also a fencing token: a worker can change a job only while it holds the same attempt,
    so a worker that was taken for dead does no harm when it wakes up.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self) -> int:
        """How many match jobs wait for a worker."""
        return int(await self._database.fetchval(sql.count_pending_match_jobs))

    async def workable(self) -> int:
        """How many match jobs more workers could work on: none while the queue is paused."""
        return int(await self._database.fetchval(sql.count_workable_match_jobs))

    async def backlog(self) -> list[Backlog]:
        """The jobs that are not completed, for each of their statuses."""
        return [Backlog(**row) for row in await self._database.fetch(sql.match_job_backlog)]

    async def claim(self, worker: UUID, limit: int, lease: timedelta) -> list[ClaimedJob]:
        """Claim up to `limit` jobs for this worker until the lease ends: those whose lease has ended, then
        those that are due, oldest first; none while the queue is paused, when those whose lease has ended
        wait again. Jobs whose lease has ended fail if they have no attempt left."""
        rows = await self._database.fetch(sql.claim_match_jobs, worker, limit, lease)
        return [
            ClaimedJob(
                row["id"],
                row["face_id"],
                row["job_type"],
                row["attempts"],
                row["max_attempts"],
                worker,
                row["created_at"],
                row["traceparent"],
                face=row,
                settings=row["settings"] or {},
            )
            for row in rows
        ]

    async def extend(self, worker: UUID, jobs: Iterable[UUID], lease: timedelta) -> None:
        """The heartbeat: restart the lease of these jobs, as far as the worker still holds them."""
        await self._database.execute(sql.extend_match_jobs, worker, list(jobs), lease)

    async def retry(self, job: ClaimedJob, message: str, after: timedelta = timedelta()) -> bool:
        """Return a job after a failed attempt, due again after `backoff`; after the last attempt, fail it.
        Returns whether it will be tried again."""
        if job.attempt >= job.max_attempts:
            await self.fail(job, message)
            return False
        delay = backoff(job.attempt, after)
        await self._database.execute(sql.retry_match_job, job.id, job.worker, job.attempt, message, delay)
        return True

    async def fail(self, job: ClaimedJob, message: str) -> None:
        """Fail a job that no further attempt can complete."""
        await self._database.execute(sql.fail_match_job, job.id, job.worker, job.attempt, message)

    async def release(self, worker: UUID) -> None:
        """Return all jobs of this worker, as if they had not been claimed."""
        await self._database.execute(sql.release_match_jobs, worker)

    async def tell_operators(self) -> None:
        """Tell operators that jobs have ended, so that they look at the queue again."""
        await tell_of_ended_jobs(self._database)

    async def seconds_to_next(self) -> float | None:
        """Seconds until the next job is due, unless the queue is paused, or the next lease ends, at least 0;
        None without any."""
        seconds: float | None = await self._database.fetchval(sql.seconds_to_next_match_job)
        return None if seconds is None else max(seconds, 0.0)

    async def get(self, job_id: UUID, *, user_id: UUID) -> MatchJob | None:
        """The user's job with this id, if there is one."""
        row = await self._database.fetchrow(sql.get_match_job, job_id, user_id)
        return None if row is None else MatchJob(**row)

    async def stats(self) -> JobStats:
        """Counts, speed and failures."""
        counts = await self._database.fetch(sql.match_job_counts)
        seconds = await self._database.fetchrow(sql.match_job_seconds, datetime.now(UTC) - SPEED_WINDOW)
        failures = await self._database.fetch(sql.match_job_failures, FAILURES_SHOWN)
        return JobStats(
            [StatusCount(**row) for row in counts],
            seconds["processing"] if seconds else None,
            seconds["total"] if seconds else None,
            [Failure(**row) for row in failures],
        )

    async def prune(self, keep: timedelta) -> int:
        """Remove jobs that ended longer than `keep` ago; returns how many."""
        return await remove_in_steps(self._database, sql.prune_match_jobs, datetime.now(UTC) - keep)


async def hasten_jobs(database: Database, lease: timedelta) -> None:
    """Make due the jobs of matching and texts, the rescoring, and the pictures to remove that wait or are
    leased longer than any is by itself, because the clock has been set back since. lease: the usual one.
    Raises DatabaseError."""
    await database.execute(sql.hasten_jobs, LONGEST_WAIT + lease)


async def carry_trace(connection: Connection) -> None:
    """The jobs that this transaction queues belong to the current trace, if it is recorded. Called by what
    stores the rows whose triggers queue them. Raises an error of the driver."""
    if (current := traceparent()) is not None:
        await connection.execute(sql.carry_trace, current)


def backoff(attempt: int, after: timedelta = timedelta()) -> timedelta:
    """Time until the next attempt: doubled each time, and varied at random by half, so that jobs which failed
    together do not return together. Not less than `after`, which a provider may ask for, and never more than
    LONGEST_WAIT."""
    delay: timedelta = min(FIRST_DELAY * 2 ** min(attempt - 1, 30), LONGEST_DELAY)
    return min(max(delay * random.uniform(0.5, 1.5), after), LONGEST_WAIT)
