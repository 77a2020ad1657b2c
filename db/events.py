"""The events of the realtime API: those of the last minutes, in the order of their commits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from db.pool import Database
from db.queries import sql
from db.retention import remove_in_steps

EventType: TypeAlias = Literal[
    "matches",
    "job",
    "message",
    "message_read",
    "notifications",
    "presence",
    "session_ended",
    "admin",
    "inference",
    "draft",
]
"""All are sent to clients, except `session_ended`, which is for the hubs."""

CHANNEL = "events"
"""Notified by each commit that has events."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event as stored. A greater id was committed later. created_at: time of the commit. audience: the
    profiles it is for, None for all."""

    id: int
    type: EventType
    audience: Sequence[UUID] | None
    payload: Any
    created_at: datetime


class Events:
    """The table `events`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, event_id: int, limit: int) -> list[Event]:
        """The `limit` oldest events after `event_id`, for any profile, oldest first."""
        return [Event(**row) for row in await self._database.fetch(sql.events_since, event_id, limit)]

    async def visible(
        self,
        profile_id: UUID | None,
        types: Collection[EventType],
        *,
        after: int,
        up_to: int,
        limit: int,
    ) -> list[Event]:
        """The `limit` oldest of those types with `after` < id <= `up_to` that are for a profile or for
        all, oldest first."""
        rows = await self._database.fetch(sql.events_for, after, up_to, list(types), profile_id, limit)
        return [Event(**row) for row in rows]

    async def kept(self) -> tuple[int, int]:
        """Ids of the oldest and the newest event; 0 if there has never been one."""
        row = await self._database.fetchrow(sql.kept_events)
        return (0, 0) if row is None else (row["oldest"], row["newest"])

    async def prune(self, older_than: timedelta) -> None:
        """Remove older events, except the newest one, which records the last id in use."""
        await remove_in_steps(self._database, sql.prune_events, older_than)
