"""Ingestions from the console."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from db.ingestions import Decision, IngestionRow, IngestionState, Refusal
from serve_app.schemas.base import Schema
from serve_app.schemas.ray_jobs import SOURCE, Line


class NewIngestion(Schema):
    source: Annotated[str, Field(min_length=1, max_length=4096, pattern=SOURCE)] | None = Field(
        None,
        description="A folder or manifest on the server, or the s3:// URL of one, at or below one of "
        "SEMBLANCE_INGEST_ROOTS; it starts at once. null: files will be uploaded.",
        examples=["/data/celebrities"],
    )
    category: Line | None = Field(None, description="Category of pictures without one.")


class IngestionAnswer(Schema):
    id: UUID
    source: str | None = Field(description="null: uploaded files.")
    category: str | None
    started_by: str
    state: IngestionState = Field(
        description="`receiving`: files arrive, before it is started. `review`: pictures wait for a decision."
    )
    message: str | None = Field(description="Why its job failed.")
    ray_job: UUID | None = Field(description="The Ray job that works on it, or did last.")
    files: int = Field(ge=0, description="Uploaded files that are kept.")
    size: int = Field(ge=0, description="Their bytes.")
    total: int = Field(ge=0, description="Inputs; 0 until they are listed.")
    done: int = Field(ge=0, description="Inputs that were tried.")
    taken: int = Field(ge=0, description="Pictures that are in the gallery now.")
    present: int = Field(ge=0, description="Pictures that were there before, or came twice.")
    refused: int = Field(ge=0, description="Pictures that were not taken and are not settled.")
    waiting: int = Field(ge=0, description="Those of them that are decided, but not yet tried again.")
    created_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, row: IngestionRow) -> IngestionAnswer:
        return cls.model_validate(row, from_attributes=True)


class IngestionsAnswer(Schema):
    ingestions: list[IngestionAnswer] = Field(description="The latest first.")
    next_cursor: str | None
    roots: list[str] = Field(description="Below these, folders and buckets may be named.")
    part_bytes: int = Field(description="Largest file of one request; a larger archive is sent in parts.")
    upload_bytes: int = Field(description="Most bytes of all files of an ingestion.")


class IngestionDetails(Schema):
    ingestion: IngestionAnswer
    reasons: dict[str, int] = Field(
        description="How many pictures wait, by the outcome of an ingestion.", examples=[{"several_faces": 2}]
    )


class RefusalAnswer(Schema):
    id: UUID
    label: str = Field(description="The path of the picture, or what its source calls it.")
    outcome: str = Field(examples=["several_faces"])
    reason: str = Field(description="A sentence for people.")
    name: str | None = Field(description="Of the celebrity that it would be.")
    category: str | None
    has_picture: bool = Field(description="Whether `…/picture` may show it.")
    decision: Decision | None = Field(description="What will be done, if that is decided.")
    decisions: list[Decision] = Field(description="What may be decided.")

    @classmethod
    def of(cls, refusal: Refusal) -> RefusalAnswer:
        item = refusal.item or {}
        return cls(
            id=refusal.id,
            label=refusal.label,
            outcome=refusal.outcome,
            reason=refusal.reason,
            name=item.get("name"),
            category=item.get("category"),
            has_picture=bool(item) and refusal.outcome not in {"missing", "too_large", "unreadable"},
            decision=refusal.decision,
            decisions=refusal.decisions,
        )


class RefusalsAnswer(Schema):
    refusals: list[RefusalAnswer]
    next_cursor: str | None


class IngestionDecision(Schema):
    decision: Decision = Field(
        description="`largest`: take the largest face of several. `anyway`: take a face of low quality. "
        "`again`: try once more what failed. `discard`: do not take it."
    )
    ids: list[UUID] | None = Field(
        None, min_length=1, max_length=1000, description="Only these pictures; null: all."
    )
    outcome: Line | None = Field(None, description="Only pictures of this outcome; null: any.")


class DecidedAnswer(Schema):
    decided: int = Field(
        ge=0, description="Pictures on which this decides. Pictures that it does not suit are left."
    )
    ingestion: IngestionAnswer
