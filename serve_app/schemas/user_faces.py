"""A user's own faces."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from serve_app.schemas.base import FeedUrl, Schema, ThumbnailUrl

UPLOADED = "Photo uploaded! Matches generating in background..."


class UploadAnswer(Schema):
    id: UUID
    image_url: str = Field(description="Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl
    created_at: datetime
    message: str = Field(UPLOADED, examples=[UPLOADED])
    job_id: UUID = Field(description="The match job; GET /api/jobs/{id} answers its state.")
    faces_found: int = Field(ge=1, description="Number of faces in the photo.", examples=[1])
    note: str | None = Field(
        description="A hint for the user, or null.",
        examples=["The photo shows 2 faces; the largest was taken."],
    )


class FaceSummary(Schema):
    id: UUID
    image_url: str = Field(description="Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl
    created_at: datetime


class FaceList(Schema):
    faces: list[FaceSummary] = Field(description="Newest first.")
    total: int = Field(ge=0, description="Number of the user's faces.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")
