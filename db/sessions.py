"""Sessions of users that were revoked before their access tokens expire."""

from __future__ import annotations

from uuid import UUID

from db.pool import Database
from db.queries import sql


class Sessions:
    """The table `revoked_sessions`. A session is 32 bytes derived from its token, useless for access.
    Every method raises DatabaseError if the database does not answer.

    Each request checks its session together with the profile (`Profiles.of_session`): one look-up by index in
    a statement that runs anyway costs less than a cache, and takes effect at once on every replica.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revoke(self, session: bytes, profile_id: UUID, ends_at: float) -> None:
        """Revoke a session of a profile until `ends_at`, the Unix time at which its last token expires, and
        end its realtime connections. Repeating it changes nothing."""
        await self._database.execute(sql.revoke_session, session, profile_id, ends_at)

    async def has_ended(self, session: bytes, profile_id: UUID | None, *, as_admin: bool = False) -> bool:
        """Whether the session has ended: it was revoked, its profile is blocked or deleted, or is no longer
        an admin's. profile_id: None for a session of the console."""
        return bool(await self._database.fetchval(sql.has_session_ended, session, profile_id, as_admin))

    async def prune(self) -> None:
        """Forget sessions whose tokens have expired."""
        await self._database.execute(sql.prune_revoked_sessions)
