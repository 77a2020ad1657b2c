"""Messages between two connected users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from db.pages import ByTime, Page, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import BadInputError, ForbiddenError, NotFoundError

MessageType = Literal["text", "image", "icebreaker"]


_NOT_A_MEMBER = "Only the two users of a connection can see its messages."


@dataclass(frozen=True, slots=True)
class Message:
    """A message as stored. content: the text, or the storage key of an image; in rows of the old app its
    URL. ai_status: of the text that is made of it: queued, processing, completed or failed; in rows of the
    old app any other. in_reply_to: the message that it answers."""

    id: UUID
    connection_id: UUID
    sender_id: UUID
    content: str
    message_type: MessageType
    read_at: datetime | None
    created_at: datetime
    ai_status: str | None = None
    in_reply_to: UUID | None = None


class Messages:
    """The table `messages`, and the notifications that messages cause.

    Every method raises NotFoundError for what does not exist, ForbiddenError if the caller is not one of the
    connection's users, and DatabaseError if the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def send(
        self,
        connection_id: UUID,
        *,
        sender_id: UUID,
        content: str,
        message_type: MessageType,
        title: str,
        preview: str,
    ) -> Message:
        """Store a message and notify its receiver. If the connection already has an unread notification, that
        one is updated.

        Args:
            title, preview: title and text of the notification.

        Raises ForbiddenError also for a connection that is not active.
        """
        row = await self._database.fetchrow(
            sql.send_message, connection_id, sender_id, content, message_type, title, preview, None
        )
        if row is None:
            await self._check_member(connection_id, sender_id)
            raise ForbiddenError("This connection is not active: no messages can be sent.")
        return Message(**row)

    async def may_send_picture(self, key: str, *, sender_id: UUID) -> bool:
        """Whether the key belongs to a face of the user, or to a baby picture that they requested."""
        return bool(await self._database.fetchval(sql.owns_picture, key, sender_id))

    async def page(
        self, connection_id: UUID, *, reader_id: UUID, limit: int, after: ByTime | None = None
    ) -> Page[Message, ByTime]:
        """The messages of a connection, newest first. after: the `next` of the previous page."""
        await self._check_member(connection_id, reader_id)
        rows = await self._database.fetch(
            sql.list_messages, connection_id, *(after or (None, None)), limit + 1
        )
        shown, more = cut_page(rows, limit, "created_at")
        return Page([Message(**row) for row in shown], more)

    async def read(self, message_id: UUID, *, reader_id: UUID) -> Message:
        """Mark a message as read. If it was the reader's last unread message in the connection, the
        notification is marked too. Repeating the call changes nothing.

        Raises BadInputError for the reader's own message.
        """
        async with self._database.transaction() as connection:
            found = await connection.fetchrow(sql.get_message, message_id, reader_id)
            if found is None:
                raise NotFoundError("This message does not exist.")
            if not found["is_member"]:
                raise ForbiddenError(_NOT_A_MEMBER)
            if found["sender_id"] == reader_id:
                raise BadInputError("Only the receiver of a message can mark it as read.")
            # A message that arrives after the count of unread ones must not find its notification marked as
            # read.
            await connection.execute(sql.lock_connection_for_chat, found["connection_id"])
            row = await connection.fetchrow(sql.read_message, message_id)
            if row is None:
                raise NotFoundError("This message does not exist.")
            await connection.execute(sql.read_message_notification, found["connection_id"], reader_id)
            return Message(**row)

    async def read_all(self, connection_id: UUID, *, reader_id: UUID) -> int:
        """Mark all received messages of a connection, and its notification, as read. Returns how many were
        unread."""
        await self._check_member(connection_id, reader_id)
        async with self._database.transaction() as connection:
            await connection.execute(sql.lock_connection_for_chat, connection_id)
            marked = int(await connection.fetchval(sql.read_all_messages, connection_id, reader_id))
            await connection.execute(sql.read_message_notification, connection_id, reader_id)
            return marked

    async def _check_member(self, connection_id: UUID, profile_id: UUID) -> None:
        is_member = await self._database.fetchval(sql.is_chat_member, connection_id, profile_id)
        if is_member is None:
            raise NotFoundError("This connection does not exist.")
        if not is_member:
            raise ForbiddenError(_NOT_A_MEMBER)
