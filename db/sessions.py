"""Sessions of users that were ended before their access tokens end by themselves."""

from __future__ import annotations

from uuid import UUID

from db.pool import Database
from db.queries import sql


class Sessions:
    """The table `revoked_sessions`. A session is known by 32 bytes that its token gives, which open nothing.
    Every method raises DatabaseError where the database does not answer.

    Whether a session is revoked is asked with each request, together with the profile
    (`Profiles.of_session`): one look-up by index in a statement that runs anyway costs less than a cache
    would, and holds at once on every replica.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revoke(self, session: bytes, profile_id: UUID, ends_at: float) -> None:
        """End a session of a profile until `ends_at`, the Unix time at which the last of its tokens does; its
        realtime connections are told. Once more changes nothing."""
        await self._database.execute(sql.revoke_session, session, profile_id, ends_at)

    async def is_revoked(self, session: bytes) -> bool:
        """Whether the session was ended."""
        return bool(await self._database.fetchval(sql.is_session_revoked, session))

    async def prune(self) -> None:
        """Forget those whose tokens have ended by themselves."""
        await self._database.execute(sql.prune_revoked_sessions)
