"""A user's own faces."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from serve_app.schemas.base import FeedUrl, Schema, ThumbnailUrl

UPLOADED = "Photo uploaded! Matches generating in background..."


class UploadAnswer(Schema):
    id: UUID
    image_url: str = Field(description="Signed, expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl
    created_at: datetime
    message: str = Field(UPLOADED, examples=[UPLOADED])
    job_id: UUID = Field(description="Of the match job; GET /api/jobs/{id} tells how it is doing.")
    faces_found: int = Field(ge=1, description="How many faces the photo shows.", examples=[1])
    note: str | None = Field(
        description="What the user should know, else null.",
        examples=["The photo shows 2 faces; the largest was taken."],
    )


class FaceSummary(Schema):
    id: UUID
    image_url: str = Field(description="Signed, expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl
    created_at: datetime


class FaceList(Schema):
    faces: list[FaceSummary] = Field(description="Newest first.")
    total: int = Field(ge=0, description="All faces of the user, on whatever page.", examples=[1])
    next_cursor: str | None = Field(description="Asks for the next page; null on the last one.")
