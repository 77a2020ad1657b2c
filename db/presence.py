"""When users were last seen."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from db.pool import Database
from db.queries import sql


class Presence:
    """`profiles.last_seen`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, profile_id: UUID, at: datetime) -> datetime | None:
        """Record that a user was seen. Returns the latest known time, which is never in the future. None for
        users who hide their presence; nothing is recorded for them."""
        latest: datetime | None = await self._database.fetchval(sql.set_last_seen, profile_id, at)
        return latest
