"""Notifications of a user."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from db.notifications import Notification, NotificationPage, NotificationType, RelatedType
from serve_app.schemas.base import Schema, Values


class NotificationAnswer(Schema):
    id: UUID
    type: NotificationType
    title: str = Field(examples=["New message from Ada"])
    message: str | None = Field(examples=["Hi! Are we related?"])
    related_id: UUID | None = Field(
        description="What the notification is about; for new messages the latest one."
    )
    related_type: RelatedType | None
    connection_id: UUID | None = Field(
        description="The connection with the new messages; null for other types."
    )
    read_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, notification: Notification) -> NotificationAnswer:
        return cls.model_validate(notification, from_attributes=True)


class NotificationsAnswer(Schema):
    notifications: list[NotificationAnswer] = Field(description="Newest first.")
    total: int = Field(ge=0, description="Number of notifications; with `unread_only` only of unread ones.")
    unread_count: int = Field(ge=0)
    next_cursor: str | None = Field(description="The `cursor` of the next page; null at the end.")

    @staticmethod
    def values(page: NotificationPage, next_cursor: str | None) -> Values:
        return Values(
            notifications=page.items,
            total=page.total,
            unread_count=page.unread_count,
            next_cursor=next_cursor,
        )
