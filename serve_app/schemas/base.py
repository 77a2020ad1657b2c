"""What answers share: field types and the shape of errors; and the answers of liveness and readiness."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

Score = Annotated[float, Field(ge=0, le=1)]

FeedUrl = Annotated[str, Field(description="The same picture with a long side of at most 1080 pixels.")]
ThumbnailUrl = Annotated[str, Field(description="The same picture with a long side of at most 256 pixels.")]


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


Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_utc)]
"""A time that a client gives: one that every clock and database can hold, in UTC."""


class Schema(BaseModel):
    # A value that is refused may be an e-mail address or an embedding, and errors end up in logs.
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), hide_input_in_errors=True)


class Values(dict[str, Any]):
    """The values of a Schema, by the names and in the order of its fields. Unlike any other dictionary, they
    are not checked again: for lists that are read often, where making the models takes longer than all else.
    Such a route names the Schema as its `response_model`."""


class ErrorAnswer(BaseModel):
    """Every error has this shape; some have further fields."""

    error: str = Field(description="A sentence for people.", examples=["No face detected in image"])
    code: str = Field(description="For programs to branch on.", examples=["no_face"])
    request_id: str = Field(description="Identifies the request in the log.")


class QuotaErrorAnswer(ErrorAnswer):
    """A daily limit is reached; Retry-After says when it is reset."""

    message: str = Field(examples=["5 of 5 used today; the count restarts at midnight UTC."])
    limit: int = Field(ge=0, description="Allowed per day.", examples=[5])
    current: int = Field(ge=0, description="Used today.", examples=[5])
    resetAt: datetime = Field(description="The next midnight UTC.")  # noqa: N815 - the contract's spelling
    type: str = Field(description="What is limited.", examples=["photo_upload"])


class Health(Schema):
    status: Literal["healthy"] = "healthy"
    model: str = Field(description="Name of the model pack.", examples=["open"])


class Readiness(Schema):
    status: Literal["ready"] = "ready"
    checks: dict[str, str] = Field(
        examples=[{"database": "ok", "queue": "0 waiting", "detector": "ok", "embedder": "ok"}]
    )
