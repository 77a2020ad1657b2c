"""Connections between two users."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from db.connections import Connection, ConnectionStatus
from db.messages import MessageType
from serve_app.links import Links
from serve_app.schemas.base import Schema


class OtherUser(Schema):
    id: UUID
    name: str | None = Field(examples=["Ada"])
    profile_image: str | None = Field(description="Their default face; signed, expires.")
    last_seen: datetime | None = Field(
        description="Null until they were seen, while blocked, and while they hide it."
    )


class LastMessageSummary(Schema):
    content: str = Field(
        description="The text; of an image its address: signed, expires.", examples=["Hi! Are we related?"]
    )
    message_type: MessageType
    created_at: datetime
    is_mine: bool


class ConnectionSummary(Schema):
    id: UUID
    match_id: UUID = Field(description="The match that connected the two.")
    status: ConnectionStatus
    blocked_by_me: bool
    other_user: OtherUser
    baby_image: str | None = Field(description="The match's newest baby; signed, expires.")
    last_message: LastMessageSummary | None
    unread_count: int = Field(ge=0, description="Messages received and not read.")
    created_at: datetime
    updated_at: datetime = Field(description="Of the latest message, status or baby.")

    @classmethod
    def of(cls, connection: Connection, links: Links) -> ConnectionSummary:
        message = connection.last_message
        return cls(
            id=connection.id,
            match_id=connection.match_id,
            status=connection.status,
            blocked_by_me=connection.blocked_by_me,
            other_user=OtherUser(
                id=connection.other_id,
                name=connection.other_name,
                profile_image=links.picture(connection.other_image, "faces"),
                last_seen=connection.other_last_seen,
            ),
            baby_image=links.picture(connection.baby_image, "babies"),
            last_message=None
            if message is None
            else LastMessageSummary(
                content=links.message(message.content, message.message_type),
                message_type=message.message_type,
                created_at=message.created_at,
                is_mine=message.is_mine,
            ),
            unread_count=connection.unread_count,
            created_at=connection.created_at,
            updated_at=connection.updated_at,
        )


class ConnectionsAnswer(Schema):
    connections: list[ConnectionSummary] = Field(description="Latest activity first.")
    total: int = Field(ge=0, description="All of the status, on whatever page.", examples=[1])
    next_cursor: str | None = Field(description="`cursor` of the next page; null at the end.")


class ConnectionChange(Schema):
    status: ConnectionStatus


class ConnectionQuestion(Schema):
    match_id: UUID = Field(description="A match of one's own.")


class ConnectionCheck(Schema):
    exists: bool
    connection: ConnectionSummary | None
