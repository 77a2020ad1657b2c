"""When a user was last there."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from serve_app.schemas.base import Schema, Time


class PresenceBody(Schema):
    last_seen: Time = Field(
        description="ISO 8601 with offset; not in the future.", examples=["2026-01-31T12:00:00Z"]
    )


class PresenceAnswer(Schema):
    last_seen: datetime | None = Field(
        description="The latest known time, which never moves back; null while the user hides it."
    )
