"""Suggested texts: what is asked, how far it is, and drafts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from db.inference_jobs import Draft, Enqueued, InferenceJob, InferenceKind
from db.jobs import JobStatus
from serve_app.schemas.base import Schema
from serve_app.schemas.messages import VisibleText, visible_text

InferenceStatus = Literal["queued", "processing", "completed", "failed"]

_STATUSES: dict[JobStatus, InferenceStatus] = {
    "pending": "queued",
    "processing": "processing",
    "completed": "completed",
    "failed": "failed",
}


class NewInference(Schema):
    connection_id: UUID
    content: Annotated[VisibleText, visible_text("The message to send.", "Hi! Are we related?")]


class QueuedAnswer(Schema):
    job_id: UUID
    message_id: UUID = Field(description="The message, which is sent already.")
    status: InferenceStatus

    @classmethod
    def of(cls, enqueued: Enqueued) -> QueuedAnswer:
        return cls(job_id=enqueued.job_id, message_id=enqueued.message_id, status=_STATUSES[enqueued.status])


class InferenceAnswer(Schema):
    id: UUID
    kind: InferenceKind
    message_id: UUID | None
    status: InferenceStatus
    attempts: int = Field(ge=0)
    max_attempts: int = Field(ge=1)
    error: str | None = Field(description="Why the job or its last attempt failed.")
    created_at: datetime
    started_at: datetime | None = Field(description="Start of the last attempt.")
    completed_at: datetime | None = Field(
        description="When the text was written, or the job failed for the last time."
    )

    @classmethod
    def of(cls, job: InferenceJob) -> InferenceAnswer:
        return cls(
            id=job.id,
            kind=job.kind,
            message_id=job.message_id,
            status=_STATUSES[job.status],
            attempts=job.attempts,
            max_attempts=job.max_attempts,
            error=job.error_message,
            created_at=job.created_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
        )


class DraftAnswer(Schema):
    """A suggested reply. Only the user it is for sees it, until that user sends it."""

    id: UUID = Field(description="That of the job that led to it.")
    connection_id: UUID
    message_id: UUID = Field(description="The message that it answers.")
    content: str = Field(examples=["Thanks for your message, Ada!"])
    model: str = Field(description="What wrote it; `local` for a template.", examples=["local"])
    created_at: datetime

    @classmethod
    def of(cls, draft: Draft) -> DraftAnswer:
        return cls(
            id=draft.id,
            connection_id=draft.connection_id,
            message_id=draft.message_id,
            content=draft.content,
            model=draft.model,
            created_at=draft.created_at,
        )


class DraftsAnswer(Schema):
    drafts: list[DraftAnswer] = Field(description="Newest first, at most a hundred.")


class SentDraft(Schema):
    content: Annotated[
        VisibleText, visible_text("The reply, as the user wants it.", "Thanks for your message, Ada!")
    ]
