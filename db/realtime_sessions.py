"""Which profile is connected to which replica of the API; the database derives from it who is online."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from db.pool import Database
from db.queries import sql


class RealtimeSessions:
    """The tables `realtime_sessions` and `realtime_replicas`. A profile's first session sets
    `profiles.online`, the end of its last one resets it and updates `profiles.last_seen`; its connections
    receive both as events. Every method raises DatabaseError if the database does not answer.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seen(self, replica_id: UUID) -> None:
        """Record that a replica is alive."""
        await self._database.execute(sql.realtime_replica_seen, replica_id)

    async def open(self, session_id: UUID, profile_id: UUID, replica_id: UUID) -> None:
        """Begin a session on a replica that has been seen, unless it is open already."""
        await self._database.execute(sql.open_realtime_session, session_id, profile_id, replica_id)

    async def close(self, session_id: UUID) -> None:
        """End a session, unless it has ended already."""
        await self._database.execute(sql.close_realtime_session, session_id)

    async def of(self, replica_id: UUID) -> set[UUID]:
        """The ids of a replica's open sessions."""
        return {row["id"] for row in await self._database.fetch(sql.realtime_sessions_of, replica_id)}

    async def end_lost(self, unseen_for: timedelta) -> int:
        """End the sessions of replicas that have not been seen for that long; returns how many."""
        ended = 0
        while await self._database.fetchval(sql.end_lost_realtime_session, unseen_for) is not None:
            ended += 1
        await self._database.execute(sql.forget_lost_realtime_replicas, unseen_for)
        return ended

    async def forget(self, replica_id: UUID) -> None:
        """Remove a replica that has ended, once it has no sessions."""
        await self._database.execute(sql.forget_realtime_replica, replica_id)

    async def online_connections(self, profile_id: UUID) -> list[UUID]:
        """The online profiles that a profile is connected with, without blocked ones."""
        return [row["id"] for row in await self._database.fetch(sql.online_connections, profile_id)]
