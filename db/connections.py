"""Connections between two users: how they begin, how they are listed, blocked and archived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from db.messages import MessageType
from db.pages import ByTime, CountedPage, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import ForbiddenError, NotFoundError

ConnectionStatus = Literal["active", "blocked", "archived"]


NO_MATCH = "This match does not exist."
_NO_CONNECTION = "This connection does not exist."


@dataclass(frozen=True, slots=True)
class LastMessage:
    """The newest message of a connection; content: the text, or the storage key of an image. is_mine: whether
    the viewer sent it."""

    content: str
    message_type: MessageType
    created_at: datetime
    is_mine: bool


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection as one of its users sees it.

    other_*: of the other user; other_image: storage key of their default face; other_last_seen: None while
    the connection is blocked. baby_image: storage key of the newest baby. unread_count: messages received
    and not read. updated_at: of the latest message, status or baby.
    """

    id: UUID
    match_id: UUID
    status: ConnectionStatus
    blocked_by_me: bool
    other_id: UUID
    other_name: str | None
    other_image: str | None
    other_last_seen: datetime | None
    baby_image: str | None
    last_message: LastMessage | None
    unread_count: int
    created_at: datetime
    updated_at: datetime


async def lock_match(connection: asyncpg.Connection, match_id: UUID) -> tuple[UUID, UUID]:
    """The profiles of a match's two users. Locks the match: other transactions that call this for it wait
    until this one ends.

    The first step when a like or a baby is stored, before its row. Without it, two transactions that each
    store one would not see each other's row, and neither would find the match mutual. With it, the later
    transaction takes all three steps (lock, insert, `open_when_mutual`) after the earlier one has committed.

    Raises NotFoundError.
    """
    row = await connection.fetchrow(sql.lock_match, match_id)
    if row is None:
        raise NotFoundError(NO_MATCH)
    return row["a_id"], row["b_id"]


async def open_when_mutual(connection: asyncpg.Connection, match_id: UUID) -> UUID | None:
    """Connect a match's users if both have liked it or both have made a baby from it, unless they are already
    connected, by this or another match. Notifies both and starts their chat with an icebreaker.

    The last step of a transaction that began with `lock_match` and stored a like or a baby. An existing
    connection keeps its status, but shows the newest baby of its match.

    Returns the id of the connection that this call opened, else None.
    """
    opened: UUID | None = await connection.fetchval(sql.open_connection, match_id)
    if opened is None:
        await connection.execute(sql.renew_connection_baby, match_id)
    return opened


class Connections:
    """Connections, each as one of its two users sees it.

    Every method raises NotFoundError for what does not exist, ForbiddenError for what is not the user's, and
    DatabaseError if the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        user_id: UUID,
        *,
        status: ConnectionStatus | None,
        limit: int,
        offset: int = 0,
        after: ByTime | None = None,
    ) -> CountedPage[Connection, ByTime]:
        """The connections of a status, latest activity first.

        Args:
            status: None for all.
            offset: how many to skip.
            after: the `next` of the previous page.
        """
        rows = await self._database.fetch(
            sql.list_connections, user_id, status, *(after or (None, None)), limit + 1, offset
        )
        shown, more = cut_page(rows, limit, "updated_at")
        connections = await self._load(user_id, [row["id"] for row in shown])
        return CountedPage(connections, more, rows[0]["total"])

    async def get(self, connection_id: UUID, *, user_id: UUID) -> Connection:
        """One connection of the user."""
        found = await self._load(user_id, [connection_id])
        if not found:
            await self._check_member(connection_id, user_id)
            raise NotFoundError(_NO_CONNECTION)
        return found[0]

    async def of_match(self, match_id: UUID, *, user_id: UUID) -> Connection | None:
        """The connection between a match's two users, by this match or another."""
        pair = await self._database.fetchrow(sql.users_of_match, match_id)
        if pair is None:
            raise NotFoundError(NO_MATCH)
        if user_id not in pair.values():
            raise ForbiddenError("This match is between other users.")
        connection_id = await self._database.fetchval(sql.find_connection_of_pair, *pair)
        found = [] if connection_id is None else await self._load(user_id, [connection_id])
        return found[0] if found else None

    async def set_status(self, connection_id: UUID, status: ConnectionStatus, *, user_id: UUID) -> Connection:
        """Change the status. Setting the current status again changes nothing.

        Raises ForbiddenError also for a connection that the other user has blocked.
        """
        changed = await self._database.fetchval(sql.set_connection_status, connection_id, user_id, status)
        connection = await self.get(connection_id, user_id=user_id)
        if not changed and connection.status == "blocked" and not connection.blocked_by_me:
            raise ForbiddenError("Only the user who blocked a connection can change it.")
        return connection

    async def _check_member(self, connection_id: UUID, user_id: UUID) -> None:
        is_member = await self._database.fetchval(sql.find_connection, connection_id, user_id)
        if is_member is None:
            raise NotFoundError(_NO_CONNECTION)
        if not is_member:
            raise ForbiddenError("Only the two users of a connection can see it.")

    async def _load(self, user_id: UUID, ids: list[UUID]) -> list[Connection]:
        """The connections with these ids, in the same order, without those that are gone or not the
        user's."""
        rows = {row["id"]: row for row in await self._database.fetch(sql.load_connections, user_id, ids)}
        return [_connection(rows[identity]) for identity in ids if identity in rows]


def _connection(row: asyncpg.Record) -> Connection:
    last_message = None
    if row["message_content"] is not None:
        last_message = LastMessage(
            row["message_content"], row["message_type"], row["message_created_at"], row["message_is_mine"]
        )
    return Connection(
        id=row["id"],
        match_id=row["match_id"],
        status=row["status"],
        blocked_by_me=row["blocked_by_me"],
        other_id=row["other_id"],
        other_name=row["other_name"],
        other_image=row["other_image"],
        other_last_seen=row["other_last_seen"],
        baby_image=row["baby_image"],
        last_message=last_message,
        unread_count=row["unread_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
