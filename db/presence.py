"""When users were last there."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from db.pool import Database
from db.queries import sql


class Presence:
    """`profiles.last_seen`. Every method raises DatabaseError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, profile_id: UUID, at: datetime) -> datetime | None:
        """Note that a user was there; the latest time known, which never lies in the future. None for those
        who hide it, of whom nothing is noted."""
        latest: datetime | None = await self._database.fetchval(sql.set_last_seen, profile_id, at)
        return latest
