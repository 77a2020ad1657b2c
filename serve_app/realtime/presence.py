"""Presence of the users connected to this replica, and of those whose replica has died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import timedelta
from uuid import UUID, uuid4

from db.realtime_sessions import RealtimeSessions
from semblance.errors import DatabaseError

logger = logging.getLogger(__name__)


class PresenceKeeper:
    """Keeps the realtime sessions of one replica in the database equal to its sockets.

    The table is written when a socket opens or closes, and compared with the sockets at each `beat`, which
    repairs what a failure left different.
    """

    def __init__(self, sessions: RealtimeSessions) -> None:
        self.replica_id = uuid4()
        self._sessions = sessions
        self._open: dict[UUID, UUID] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def enter(self, session_id: UUID, profile_id: UUID) -> None:
        """A socket has opened. If the database does not answer, the next beat records it."""
        self._open[session_id] = profile_id
        await self._tried(self._sessions.open(session_id, profile_id, self.replica_id))

    def leave(self, session_id: UUID) -> None:
        """A socket has closed. Does not wait, because the caller may be about to be cancelled."""
        if self._open.pop(session_id, None) is not None:
            task = asyncio.create_task(self._tried(self._sessions.close(session_id)))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def beat(self, lost_after: timedelta) -> None:
        """Record that this replica is alive, and end the sessions of replicas without such a record for
        `lost_after`.

        Raises DatabaseError.
        """
        await self._sessions.seen(self.replica_id)
        known = await self._sessions.of(self.replica_id)
        # Compared after the query: a session is in `_open` before it is in the database.
        for session_id in known - self._open.keys():
            await self._sessions.close(session_id)
        for session_id in self._open.keys() - known:
            if profile_id := self._open.get(session_id):
                await self._sessions.open(session_id, profile_id, self.replica_id)
        if ended := await self._sessions.end_lost(lost_after):
            logger.warning("ended %d sessions of dead replicas", ended)

    async def close(self) -> None:
        """End all sessions of this replica."""
        for session_id in list(self._open):
            self.leave(session_id)
        if self._closing:
            await asyncio.wait(self._closing)
        await self._tried(self._sessions.forget(self.replica_id))

    async def _tried(self, statement: Coroutine[None, None, None]) -> None:
        try:
            await statement
        except DatabaseError as exc:
            logger.warning("presence is behind: %s", exc)
