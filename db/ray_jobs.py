"""Ray jobs of operators: what Ray forgets when it is restarted, and what jobs tell of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from db.audit import audit
from db.pages import ByTime, Page, cut_page
from db.pool import Connection, Database
from db.queries import sql
from semblance.actor import actor_var

RayJobKind = Literal["ingest", "rematch", "reembed", "import_qdrant"]
RayJobStatus = Literal["pending", "running", "succeeded", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class RayJobRow:
    """A Ray job. submission_id: Ray's. arguments: of its command. started_by: as `semblance.actor` says it.
    done, total: as the job told them; total is None until it knows. counted: its second count, such as
    pictures not taken. message: why it failed."""

    id: UUID
    submission_id: str
    kind: RayJobKind
    arguments: Sequence[str]
    started_by: str
    status: RayJobStatus
    done: int
    total: int | None
    counted: int
    message: str | None
    created_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RayJobProgress:
    """How far a job is. message: why it fails, if it does. status: `running` until it ends."""

    done: int = 0
    total: int | None = None
    counted: int = 0
    message: str | None = None
    status: RayJobStatus = "running"


@dataclass(frozen=True, slots=True)
class SubmittedRayJob:
    """A job, as it knows itself. submission_id: Ray's. arguments: of its command."""

    id: UUID
    submission_id: str
    kind: RayJobKind
    arguments: Sequence[str]


@dataclass(frozen=True, slots=True)
class OpenRayJob:
    """A job that has not ended. submission_id: Ray's. silence: seconds since the job last told how far it is,
    or since it was added."""

    id: UUID
    submission_id: str
    silence: float


class RayJobRows:
    """The table `ray_jobs`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(
        self,
        connection: Connection,
        job_id: UUID,
        kind: RayJobKind,
        arguments: Sequence[str],
        *,
        started_by: str,
    ) -> None:
        """Add a job that is about to be submitted under its id, in the caller's transaction."""
        await connection.execute(sql.add_ray_job, job_id, kind, list(arguments), started_by)

    async def record(self, connection: Connection, job: SubmittedRayJob, progress: RayJobProgress) -> None:
        """What a job tells of itself; one that a command of the present actor submitted is added, in the
        caller's transaction."""
        added = await connection.fetchval(
            sql.record_ray_job,
            job.id,
            job.kind,
            list(job.arguments),
            progress.done,
            progress.total,
            progress.counted,
            progress.message,
            actor_var.get(),
            progress.status,
            job.submission_id,
        )
        if added:
            after = {"kind": job.kind, "arguments": list(job.arguments)}
            await audit(connection, "ray_job.start", str(job.id), after=after)

    async def set_status(self, job_id: UUID, status: RayJobStatus, message: str | None = None) -> None:
        """What Ray says of a job; one that has ended stays as it is.

        Args:
            message: Why it failed, unless the job itself has said it.
        """
        await self._database.execute(sql.set_ray_job_status, job_id, status, message)

    async def get(self, job_id: UUID) -> RayJobRow | None:
        """The job with this id, if there is one."""
        row = await self._database.fetchrow(sql.get_ray_job, job_id)
        return None if row is None else RayJobRow(**row)

    async def page(self, limit: int, after: ByTime | None = None) -> Page[RayJobRow, ByTime]:
        """The latest jobs after a place."""
        place: tuple[Any, Any] = after or (None, None)
        rows = await self._database.fetch(sql.page_of_ray_jobs, *place, limit)
        shown, following = cut_page(rows, limit, "created_at")
        return Page([RayJobRow(**row) for row in shown], following)

    async def open(self) -> list[OpenRayJob]:
        """The jobs that have not ended."""
        return [OpenRayJob(**row) for row in await self._database.fetch(sql.open_ray_jobs)]
