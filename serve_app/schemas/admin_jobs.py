"""The queue of match jobs, as operators see it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from db.job_queue import QueuedJob
from db.jobs import JobStatus, JobType
from serve_app.links import Links
from serve_app.schemas.base import Schema
from serve_app.schemas.jobs import JobStatistics


class QueuedJobAnswer(Schema):
    id: UUID
    face_id: UUID
    user_id: UUID
    user_name: str | None
    picture_url: str = Field(description="The photo, with a long side of at most 256 pixels.")
    status: JobStatus
    job_type: JobType
    attempts: int = Field(ge=0, description="How often the job was started.")
    max_attempts: int = Field(ge=1)
    error: str | None = Field(description="Why the job or its last attempt failed.")
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    run_after: datetime = Field(description="When a waiting job is due.")

    @classmethod
    def of(cls, job: QueuedJob, links: Links) -> QueuedJobAnswer:
        return cls(
            id=job.id,
            face_id=job.face_id,
            user_id=job.user_id,
            user_name=job.user_name,
            picture_url=links.renditions(job.image_path, "faces").thumbnail,
            status=job.status,
            job_type=job.job_type,
            attempts=job.attempts,
            max_attempts=job.max_attempts,
            error=job.error_message,
            created_at=job.created_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
            run_after=job.run_after,
        )


class QueuedJobsAnswer(Schema):
    jobs: list[QueuedJobAnswer] = Field(description="The latest first.")
    next_cursor: str | None


class QueueAnswer(Schema):
    paused: bool = Field(description="Whether workers leave match jobs in the queue.")
    completed_last_hour: int = Field(ge=0)
    failed_last_hour: int = Field(ge=0)
    statistics: JobStatistics


class JobsToRetry(Schema):
    ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] = Field(
        description="Failed match jobs; those that have not failed are left alone."
    )


class RetriedJobs(Schema):
    retried: int = Field(ge=0, description="How many returned to the queue.")
