"""Reactions of users to matches: they like them, or have viewed them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from db.connections import NO_MATCH, lock_match, open_when_mutual
from db.pool import Database
from db.queries import sql
from semblance.errors import ConflictError, ForbiddenError, NotFoundError

ReactionType = Literal["like", "viewed"]


@dataclass(frozen=True, slots=True)
class Reaction:
    """A user's reaction to a match."""

    id: UUID
    reaction_type: ReactionType
    created_at: datetime


class Reactions:
    """The table `reactions`. Every method raises NotFoundError if the match does not exist, and
    DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def like(self, match_id: UUID, user_id: UUID) -> tuple[Reaction, UUID | None]:
        """Like a match that the user is part of. Returns the reaction, and the id of the connection that it
        opened if the other user has already liked the match.

        Raises ForbiddenError for a match between other users, ConflictError if the user has already liked it.
        """
        async with self._database.transaction() as connection:
            if user_id not in await lock_match(connection, match_id):
                raise ForbiddenError("Only the two users of a match can like it.")
            row = await connection.fetchrow(sql.add_reaction, match_id, user_id, "like")
            reaction = _added(row, "like")
            return reaction, await open_when_mutual(connection, match_id)

    async def view(self, match_id: UUID, user_id: UUID) -> Reaction:
        """Record that a user has viewed a match, which may be of other users. Raises ConflictError if it is
        already recorded."""
        return _added(await self._database.fetchrow(sql.add_reaction, match_id, user_id, "viewed"), "viewed")

    async def of_user(self, match_id: UUID, user_id: UUID) -> list[Reaction]:
        """The user's reactions to a match, oldest first."""
        rows = await self._database.fetch(sql.list_reactions, match_id, user_id)
        if not rows:
            raise NotFoundError(NO_MATCH)
        return [Reaction(**row) for row in rows if row["id"] is not None]

    async def remove(self, match_id: UUID, user_id: UUID, reaction_type: ReactionType | None) -> None:
        """Remove one reaction or, with None, all of them. A connection that a like has opened stays."""
        await self.of_user(match_id, user_id)
        await self._database.execute(sql.remove_reactions, match_id, user_id, reaction_type)


def _added(row: asyncpg.Record | None, reaction_type: ReactionType) -> Reaction:
    if row is None or not row["found"]:
        raise NotFoundError(NO_MATCH)
    if row["id"] is None:
        raise ConflictError(f"You have reacted to this match with {reaction_type!r} already.")
    return Reaction(row["id"], reaction_type, row["created_at"])
