"""When a user was last there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

from serve_app.schemas.base import Schema


def _text(value: object) -> object:
    # Pydantic would also accept numbers, as seconds since 1970.
    if not isinstance(value, str) or value.lstrip("+-").replace(".", "", 1).isdigit():
        raise ValueError("a time is text in ISO 8601 with an offset")
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies in the years 1 to 9999") from None


class PresenceBody(Schema):
    last_seen: Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_utc)] = Field(
        description="ISO 8601 with offset; not in the future.", examples=["2026-01-31T12:00:00Z"]
    )


class PresenceAnswer(Schema):
    last_seen: datetime | None = Field(
        description="The latest known time, which never moves back; null while the user hides it."
    )
