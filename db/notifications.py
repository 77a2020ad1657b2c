"""What users are told of while they are away."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal
from uuid import UUID

from db.pool import Database
from db.queries import sql
from semblance.errors import NotFoundError

NotificationType = Literal["baby_generated", "mutual_match", "new_message"]
RelatedType = Literal["baby", "match", "message", "connection"]


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification as stored.

    related_id: what it is about, of the kind `related_type`; of new messages the latest one.
    connection_id: of new messages, where they are; there is one unread notification for all of them.
    """

    id: UUID
    type: NotificationType
    title: str
    message: str | None
    related_id: UUID | None
    related_type: RelatedType | None
    connection_id: UUID | None
    read_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NotificationPage:
    """Some notifications, newest first; total: how many there are of the kind asked for (all, or unread)."""

    notifications: list[Notification]
    total: int
    unread_count: int


_COLUMNS = tuple(field.name for field in fields(Notification))


class Notifications:
    """A user's rows of `notifications`; other users' do not exist for them.

    Every method raises DatabaseError if the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        user_id: UUID,
        *,
        unread_only: bool,
        limit: int,
        offset: int = 0,
        before: tuple[datetime, UUID] | None = None,
    ) -> NotificationPage:
        """The newest `limit` ones after passing over `offset`; of those older than `before`, the time and id
        of a notification, if it is given. One statement."""
        time, notification_id = before or (None, None)
        rows = await self._database.fetch(
            sql.list_notifications, user_id, unread_only, time, notification_id, limit, offset
        )
        return NotificationPage(
            notifications=[
                Notification(**{column: row[column] for column in _COLUMNS})
                for row in rows
                if row["id"] is not None
            ],
            total=rows[0]["total"],
            unread_count=rows[0]["unread_count"],
        )

    async def read(self, notification_id: UUID, *, user_id: UUID) -> Notification:
        """Mark one as read; doing so again changes nothing. Raises NotFoundError."""
        row = await self._database.fetchrow(sql.read_notification, notification_id, user_id)
        if row is None:
            raise NotFoundError("There is no such notification.")
        return Notification(**row)

    async def read_all(self, user_id: UUID) -> int:
        """Mark all as read; how many were not."""
        return int(await self._database.fetchval(sql.read_all_notifications, user_id))

    async def delete(self, notification_id: UUID, *, user_id: UUID) -> None:
        """Remove one. Raises NotFoundError."""
        if not await self._database.fetchval(sql.delete_notification, notification_id, user_id):
            raise NotFoundError("There is no such notification.")

    async def clear(self, user_id: UUID) -> None:
        """Remove all."""
        await self._database.execute(sql.clear_notifications, user_id)
