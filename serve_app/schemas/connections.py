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
    profile_image: str | None = Field(description="Their default face. Signed URL that expires.")
    last_seen: datetime | None = Field(
        description="Null if they were never seen, while the connection is blocked, and while they hide it."
    )


class LastMessageSummary(Schema):
    content: str = Field(
        description="The text, or the signed URL of an image, which expires.",
        examples=["Hi! Are we related?"],
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
    baby_image: str | None = Field(description="The newest baby of the match. Signed URL that expires.")
    last_message: LastMessageSummary | None
    unread_count: int = Field(ge=0, description="Messages received and not read.")
    created_at: datetime
    updated_at: datetime = Field(description="Time of the latest message, change of status or baby.")

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
    total: int = Field(ge=0, description="Number of connections with this status.", examples=[1])
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")


class ConnectionChange(Schema):
    status: ConnectionStatus


class ConnectionQuestion(Schema):
    match_id: UUID = Field(description="One of the user's matches.")


class ConnectionCheck(Schema):
    exists: bool
    connection: ConnectionSummary | None
