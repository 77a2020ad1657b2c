"""Match jobs, as their user, the scheduler and admins see them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import Field

from db.jobs import JobStats, JobStatus, JobType, MatchJob
from semblance.types import JobOutcome
from serve_app.schemas.base import Schema

MAX_PROCESSED = 1000


class JobCounts(Schema):
    """Number of matches that the job found; null if it did not look for them, or is not done yet."""

    user_matches: int | None = Field(ge=0, examples=[12])
    celebrity_matches: int | None = Field(ge=0, examples=[20])


class JobAnswer(Schema):
    id: UUID
    face_id: UUID
    status: JobStatus
    job_type: JobType
    attempts: int = Field(ge=0, description="How often the job was started.")
    max_attempts: int = Field(ge=1)
    error: str | None = Field(
        description="Why the job or its last attempt failed, or what a completed job left out.",
        examples=["Not matched with other users: the profile has no school."],
    )
    created_at: datetime
    started_at: datetime | None = Field(description="Start of the last attempt.")
    completed_at: datetime | None = Field(description="When the job succeeded, or failed for the last time.")
    counts: JobCounts

    @classmethod
    def of(cls, job: MatchJob) -> JobAnswer:
        return cls(
            id=job.id,
            face_id=job.face_id,
            status=job.status,
            job_type=job.job_type,
            attempts=job.attempts,
            max_attempts=job.max_attempts,
            error=job.error_message,
            created_at=job.created_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
            counts=JobCounts(user_matches=job.user_matches, celebrity_matches=job.celebrity_matches),
        )


class ProcessedJob(JobCounts):
    job_id: UUID
    status: Literal["pending", "completed", "failed", "lost"] = Field(
        description="pending: it will be tried again. lost: another worker has taken it over."
    )
    error: str | None


class ProcessedJobs(Schema):
    processed: int = Field(ge=0, le=MAX_PROCESSED, description="Number of jobs that were processed.")
    results: list[ProcessedJob]

    @classmethod
    def of(cls, outcomes: list[JobOutcome]) -> ProcessedJobs:
        return cls(processed=len(outcomes), results=[ProcessedJob(**asdict(outcome)) for outcome in outcomes])


class StatusSummary(Schema):
    count: int = Field(ge=0)
    oldest: datetime | None = Field(description="When the oldest job was created.")


class FailureSummary(Schema):
    message: str | None
    count: int = Field(ge=1)
    latest: datetime | None


class QueueStatistics(Schema):
    pending: StatusSummary
    processing: StatusSummary
    completed: StatusSummary
    failed: StatusSummary
    average_seconds: float | None = Field(
        ge=0,
        description="From start to completion, over the last day; null if no job was completed.",
        examples=[0.08],
    )
    average_total_seconds: float | None = Field(
        description="From creation to completion, over the last day.", examples=[0.12]
    )
    failures: list[FailureSummary] = Field(description="Grouped by message, most frequent first.")

    @classmethod
    def of_queue(cls, stats: JobStats) -> Self:
        found = {entry.status: entry for entry in stats.statuses}

        def summary(status: JobStatus) -> StatusSummary:
            entry = found.get(status)
            return StatusSummary(count=entry.count if entry else 0, oldest=entry.oldest if entry else None)

        return cls(
            pending=summary("pending"),
            processing=summary("processing"),
            completed=summary("completed"),
            failed=summary("failed"),
            average_seconds=stats.average_seconds,
            average_total_seconds=stats.average_total_seconds,
            failures=[FailureSummary(**asdict(failure)) for failure in stats.failures],
        )


class JobStatistics(QueueStatistics):
    texts: QueueStatistics = Field(description="The same of the queue of suggested texts.")

    @classmethod
    def of(cls, matches: JobStats, texts: JobStats) -> JobStatistics:
        own = QueueStatistics.of_queue(matches)
        return cls(**own.model_dump(), texts=QueueStatistics.of_queue(texts))
