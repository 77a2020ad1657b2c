"""Signing in to the console: codes that work once, and the sessions they are exchanged for."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from db.audit import audit
from db.pages import ByTime, Page, cut_page
from db.pool import Database
from db.queries import sql
from db.secret_hash import secret_hash
from semblance.actor import actor_var
from semblance.errors import NotFoundError, UnauthorizedError

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 random bytes in URL-safe base64: a code, or what the cookie of a session holds."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session that is valid.

    profile_id, name: of the admin who signed in with an access token, the name or else the e-mail address;
    None after a code. last_used_at: to the minute.
    """

    id: UUID
    profile_id: UUID | None
    name: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewConsoleSession:
    """A session that was just made. token: its secret, for the cookie; only its hash is stored."""

    token: str
    session: ConsoleSession


class ConsoleSessions:
    """The tables `console_codes` and `console_sessions`. Every method raises DatabaseError if the database
    does not answer. A session is looked up by the hash of its secret: there is no comparison that could be
    timed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def make_code(self) -> str:
        """A code that is valid once, for two minutes."""
        code = secrets.token_urlsafe(32)
        await self._database.execute(sql.add_console_code, secret_hash(code))
        return code

    async def exchange(self, code: str) -> NewConsoleSession:
        """Make a session in exchange for a code, which is then no longer valid. Raises UnauthorizedError."""
        token = secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            row = None
            if _SECRET.fullmatch(code):
                row = await connection.fetchrow(
                    sql.exchange_console_code, secret_hash(code), secret_hash(token)
                )
            if row is None:
                raise UnauthorizedError(
                    "This link has been used or is older than two minutes; `semblance console` prints a new "
                    "one."
                )
            return await _made(connection, token, row)

    async def open_for(self, profile_id: UUID, token_session: bytes) -> NewConsoleSession:
        """Make a session of an admin. It ends when they are no longer one, and with the session of the access
        token that they signed in with.

        token_session: the key of the token's session, 32 bytes. Raises UnauthorizedError if any of that has
        happened meanwhile.
        """
        token = secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            # First, so that the next statement sees what ended while it waited.
            await connection.execute(sql.hold_profile, profile_id)
            row = await connection.fetchrow(
                sql.open_console_session, secret_hash(token), profile_id, token_session
            )
            if row is None:
                raise UnauthorizedError("You have signed out; sign in again.")
            return await _made(connection, token, row)

    async def use(self, token: str) -> ConsoleSession | None:
        """The session with this secret, if it is valid; notes the time of its use."""
        if _SECRET.fullmatch(token) is None:
            return None
        row = await self._database.fetchrow(sql.use_console_session, secret_hash(token))
        return None if row is None else ConsoleSession(**row)

    async def page(self, *, limit: int, after: ByTime | None = None) -> Page[ConsoleSession, ByTime]:
        """The valid sessions, newest first. after: the `next` of the previous page."""
        rows = await self._database.fetch(sql.list_console_sessions, *(after or (None, None)), limit + 1)
        shown, more = cut_page(rows, limit, "created_at")
        return Page([ConsoleSession(**row) for row in shown], more)

    async def revoke(self, session_id: UUID) -> None:
        """End a session and its realtime connections. Raises NotFoundError if it is not valid."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(sql.revoke_console_session, session_id)
            if row is None:
                raise NotFoundError("This session does not exist or has ended.")
            await audit(connection, "console_session.revoke", str(session_id), before=_recorded(row))

    async def revoke_all(self) -> int:
        """End all sessions and withdraw all codes; returns how many sessions there were."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.remove_console_codes)
            ended = [row["id"] for row in await connection.fetch(sql.revoke_console_sessions)]
            await audit(connection, "console_session.revoke_all", "all", after={"count": len(ended)})
        return len(ended)

    async def prune(self) -> None:
        """Remove codes and sessions that have expired."""
        await self._database.execute(sql.prune_console_codes)
        await self._database.execute(sql.prune_console_sessions)


async def _made(connection: asyncpg.Connection, token: str, row: asyncpg.Record) -> NewConsoleSession:
    session = ConsoleSession(**row)
    before = actor_var.set(session_actor(session))
    try:
        await audit(connection, "console_session.create", str(session.id), after=_recorded(row))
    finally:
        actor_var.reset(before)
    return NewConsoleSession(token, session)


def _recorded(row: asyncpg.Record) -> dict[str, str]:
    """What the audit log says of a session: whose it is, unless a link of a command began it, and its end."""
    profile = {} if row["profile_id"] is None else {"profile_id": str(row["profile_id"])}
    return {**profile, "expires_at": row["expires_at"].isoformat()}


def session_actor(session: ConsoleSession) -> str:
    """Who acts in a session, for the audit log: the admin, if one is known."""
    return f"console:{session.id}" if session.profile_id is None else f"admin:{session.profile_id}"
