"""The queue of match jobs."""

from __future__ import annotations

from db.pool import Database
from db.queries import queries

_PENDING = queries["count_pending_match_jobs"]


class MatchJobs:
    """Match jobs as rows of `match_jobs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def pending(self) -> int:
        """How many jobs wait for a worker. Raises DatabaseError."""
        return int(await self._database.fetchval(_PENDING))
