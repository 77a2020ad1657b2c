"""Match jobs: what their owner, the cron and admins see."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from db.jobs import JobStats, JobStatus, JobType, MatchJob
from semblance.types import JobOutcome
from serve_app.schemas.base import Schema

MAX_PROCESSED = 1000


class JobCounts(Schema):
    """Matches the job found; null where it did not look, or is not done yet."""

    user_matches: int | None = Field(ge=0, examples=[12])
    celebrity_matches: int | None = Field(ge=0, examples=[20])


class JobAnswer(Schema):
    id: UUID
    face_id: UUID
    status: JobStatus
    job_type: JobType
    attempts: int = Field(ge=0, description="How often it was begun.")
    max_attempts: int = Field(ge=1)
    error: str | None = Field(
        description="Why it failed, or the last attempt did; of a completed job what was left out.",
        examples=["Not matched with other users: the profile has no school."],
    )
    created_at: datetime
    started_at: datetime | None = Field(description="Of the last attempt.")
    completed_at: datetime | None = Field(description="When it succeeded or failed for good.")
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
        description="Pending: it will be tried again. Lost: another worker has it."
    )
    error: str | None


class ProcessedJobs(Schema):
    processed: int = Field(ge=0, le=MAX_PROCESSED, description="How many jobs were worked on.")
    results: list[ProcessedJob]

    @classmethod
    def of(cls, outcomes: list[JobOutcome]) -> ProcessedJobs:
        return cls(processed=len(outcomes), results=[ProcessedJob(**asdict(outcome)) for outcome in outcomes])


class StatusSummary(Schema):
    count: int = Field(ge=0)
    oldest: datetime | None = Field(description="When the oldest one was made.")


class FailureSummary(Schema):
    message: str | None
    count: int = Field(ge=1)
    latest: datetime | None


class JobStatistics(Schema):
    pending: StatusSummary
    processing: StatusSummary
    completed: StatusSummary
    failed: StatusSummary
    average_seconds: float | None = Field(
        ge=0, description="From claim to completion, over the last day; null without any.", examples=[0.08]
    )
    average_total_seconds: float | None = Field(
        description="From creation to completion, over the last day.", examples=[0.12]
    )
    failures: list[FailureSummary] = Field(description="By message, most frequent first.")

    @classmethod
    def of(cls, stats: JobStats) -> JobStatistics:
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
