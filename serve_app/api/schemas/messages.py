"""Messages of a connection."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import Field, model_validator

from db.messages import Message, MessageType
from serve_app.api.schemas.base import Schema
from serve_app.api.schemas.patterns import explained

MAX_CONTENT = 4000
"""Longest message in characters."""

MAX_URL = 2048
"""Longest address of a picture; what browsers and proxies agree on."""


class NewMessage(Schema):
    connection_id: UUID
    content: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_CONTENT,
            # PostgreSQL does not store NUL.
            pattern=explained(
                r"^[^\x00]*[^\s\x00][^\x00]*$", "should hold something to see, and no zero bytes"
            ),
            description="The text; of an image its http(s) address.",
            examples=["Hi! Are we related?"],
        ),
    ]
    message_type: Literal["text", "image"] = "text"

    @model_validator(mode="after")
    def _image_is_an_address(self) -> Self:
        # Clients show it as a picture: anything else than a plain web address could be a script or a file.
        if self.message_type == "image" and not _is_web_address(self.content):
            raise ValueError(f"an image is an http or https address of at most {MAX_URL} characters")
        return self


class MessageAnswer(Schema):
    id: UUID
    connection_id: UUID
    sender_id: UUID
    is_mine: bool
    content: str = Field(examples=["Hi! Are we related?"])
    message_type: MessageType
    read_at: datetime | None = Field(description="When its receiver read it; null until then.")
    created_at: datetime

    @classmethod
    def of(cls, message: Message, reader_id: UUID) -> MessageAnswer:
        return cls(
            id=message.id,
            connection_id=message.connection_id,
            sender_id=message.sender_id,
            is_mine=message.sender_id == reader_id,
            content=message.content,
            message_type=message.message_type,
            read_at=message.read_at,
            created_at=message.created_at,
        )


class MessagesAnswer(Schema):
    messages: list[MessageAnswer] = Field(description="Newest first.")
    has_more: bool
    next_cursor: str | None = Field(description="`before` of the next, older page; null at the end.")


class ReadAnswer(Schema):
    updated: int = Field(ge=0, description="How many were unread.", examples=[3])


def _is_web_address(text: str) -> bool:
    if len(text) > MAX_URL or not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        # Reading the port checks it.
        return (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and parts.port != 0
        )
    except ValueError:
        return False
