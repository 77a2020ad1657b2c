"""Notifications: what happened to users while they were away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from db.pages import ByTime, CountedPage, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import NotFoundError

NotificationType = Literal["baby_generated", "mutual_match", "new_message"]
RelatedType = Literal["baby", "match", "message", "connection"]


class Notification(msgspec.Struct, frozen=True):
    """A notification as stored. A page has up to a hundred, and a dataclass takes ten times as long to make
    and to encode.

    related_id: the object it is about, of the kind `related_type`; for new messages, the latest message.
    connection_id: for new messages, their connection, which has one unread notification for all of them.
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
class NotificationPage(CountedPage[Notification, ByTime]):
    """unread_count: all unread notifications of the user, while `total` counts those that match the
    request."""

    unread_count: int


class Notifications:
    """The table `notifications`. Each method sees only the rows of the user it is called for.

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
        after: ByTime | None = None,
    ) -> NotificationPage:
        """The user's notifications, newest first, read in one statement.

        Args:
            offset: how many to skip.
            after: the `next` of the previous page.
        """
        rows = await self._database.fetch(
            sql.list_notifications, user_id, unread_only, *(after or (None, None)), limit + 1, offset
        )
        shown, more = cut_page(rows, limit, "created_at")
        # After the two counts, their columns are in the order of the fields.
        notifications = [Notification(*row[2:]) for row in shown]
        return NotificationPage(notifications, more, rows[0]["total"], rows[0]["unread_count"])

    async def read(self, notification_id: UUID, *, user_id: UUID) -> Notification:
        """Mark one as read. Repeating the call changes nothing. Raises NotFoundError."""
        row = await self._database.fetchrow(sql.read_notification, notification_id, user_id)
        if row is None:
            raise NotFoundError("This notification does not exist.")
        return Notification(**row)

    async def read_all(self, user_id: UUID) -> int:
        """Mark all as read. Returns how many were unread."""
        return int(await self._database.fetchval(sql.read_all_notifications, user_id))

    async def delete(self, notification_id: UUID, *, user_id: UUID) -> None:
        """Remove one. Raises NotFoundError."""
        if not await self._database.fetchval(sql.delete_notification, notification_id, user_id):
            raise NotFoundError("This notification does not exist.")

    async def clear(self, user_id: UUID) -> None:
        """Remove all."""
        await self._database.execute(sql.clear_notifications, user_id)
