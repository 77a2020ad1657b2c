"""Messages of a connection."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo

from db.messages import Message, MessageType
from semblance.names import is_visible, tidy_line
from serve_app.links import Links
from serve_app.schemas.base import Schema
from serve_app.schemas.patterns import VISIBLE, sentence_of

MAX_CONTENT = 4000
"""Maximum length of a message in characters."""


def _visible(text: str) -> str:
    if not is_visible(tidy_line(text)):
        raise ValueError(sentence_of(VISIBLE))
    return text


VisibleText: TypeAlias = Annotated[str, AfterValidator(_visible)]
"""More than the pattern can say: spaces without width and signs of direction show nothing either."""


def visible_text(description: str, example: str) -> FieldInfo:
    """A field for what a user writes, a `VisibleText`."""
    field: FieldInfo = Field(
        min_length=1,
        max_length=MAX_CONTENT,
        pattern=VISIBLE,
        description=description,
        examples=[example],
    )
    return field


class NewMessage(Schema):
    connection_id: UUID
    content: Annotated[
        VisibleText,
        visible_text(
            "The text; for an image the `image_url` of one of the sender's faces or babies, or its storage "
            "key.",
            "Hi! Are we related?",
        ),
    ]
    message_type: Literal["text", "image"] = "text"


class MessageAnswer(Schema):
    id: UUID
    connection_id: UUID
    sender_id: UUID
    is_mine: bool
    content: str = Field(
        description="The text, or the signed URL of an image, which expires.",
        examples=["Hi! Are we related?"],
    )
    message_type: MessageType
    read_at: datetime | None = Field(description="When the receiver read it; null until then.")
    created_at: datetime
    ai_status: str | None = Field(
        description="How far the text is that is made of this message: queued, processing, completed or "
        "failed; null for most messages."
    )
    in_reply_to: UUID | None = Field(description="The message that this one answers, where that is known.")

    @classmethod
    def of(cls, message: Message, reader_id: UUID, links: Links) -> MessageAnswer:
        return cls(
            id=message.id,
            connection_id=message.connection_id,
            sender_id=message.sender_id,
            is_mine=message.sender_id == reader_id,
            content=links.message(message.content, message.message_type),
            message_type=message.message_type,
            read_at=message.read_at,
            created_at=message.created_at,
            ai_status=message.ai_status,
            in_reply_to=message.in_reply_to,
        )


class MessagesAnswer(Schema):
    messages: list[MessageAnswer] = Field(description="Newest first.")
    has_more: bool
    next_cursor: str | None = Field(description="The `before` of the next, older page; null at the end.")


class ReadAnswer(Schema):
    updated: int = Field(
        ge=0, description="Number of messages or notifications that were unread.", examples=[3]
    )
