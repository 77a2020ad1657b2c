"""Matches between users, as lists show them: the live feed, a user's own, a face's; and celebrity matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

import asyncpg

from db.pages import ByScore, ByTime, CountedPage, cut_page
from db.pool import Database
from db.profiles import StatedGender
from db.queries import sql
from db.reactions import ReactionType
from semblance.errors import ForbiddenError, NotFoundError
from semblance.types import Gender


@dataclass(frozen=True, slots=True)
class Factors:
    """What made a score, each 0..1, 1 for alike."""

    embedding: float
    geometry: float
    age: float
    symmetry: float
    skin_tone: float
    expression: float


@dataclass(frozen=True, slots=True)
class Person:
    """One side of a match; image_path: storage key of the face. online, last_seen: None if the viewer is
    not told."""

    id: UUID
    name: str | None
    gender: StatedGender | None
    school: str | None
    face_id: UUID
    image_path: str
    online: bool | None
    last_seen: datetime | None

    @classmethod
    def of(cls, row: asyncpg.Record, side: Literal["a", "b"]) -> Self:
        """The person of a row whose columns begin with the side."""
        return cls(**{field.name: row[f"{side}_{field.name}"] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Match:
    """Two users whose faces are alike, score 0..1. factors: None for matches of the old app. pack_digest: of
    the pack that embedded both faces as they are now; None if two packs did."""

    id: UUID
    similarity_score: float
    created_at: datetime
    factors: Factors | None
    pack_digest: str | None
    my_reaction: list[ReactionType]
    a: Person
    b: Person


@dataclass(frozen=True, slots=True)
class SavedCelebrityMatch:
    """A celebrity like a face, score 0..1. factors, pack_digest: as of a Match."""

    id: UUID
    similarity_score: float
    factors: Factors | None
    pack_digest: str | None
    celebrity_id: UUID
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None
    image_path: str


@dataclass(frozen=True, slots=True)
class MatchStats:
    """total: all matches. viewed: how many of them the user has viewed, None without a user. active_users:
    connected now or seen in the last 15 minutes."""

    total: int
    viewed: int | None
    active_users: int


class Matches:
    """The tables `matches` and `celebrity_matches`. Every method raises DatabaseError if the database does
    not answer.

    Pages have `limit` rows after passing over `offset`; with `after`, the `next` of another page, they go on
    from there. viewer_id: whose reactions are shown.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def feed(
        self,
        *,
        viewer_id: UUID | None,
        new_only: bool,
        limit: int,
        offset: int = 0,
        after: ByTime | None = None,
    ) -> CountedPage[Match, ByTime]:
        """All matches, newest first. new_only: those of the last 5 minutes."""
        rows = await self._database.fetch(
            sql.list_feed, new_only, *(after or (None, None)), limit + 1, offset
        )
        return await self._page(rows, limit, "created_at", viewer_id)

    async def best(
        self,
        *,
        viewer_id: UUID | None,
        new_only: bool,
        limit: int,
        offset: int = 0,
        after: ByScore | None = None,
    ) -> CountedPage[Match, ByScore]:
        """All matches, best first. new_only: those of the last 5 minutes."""
        query = sql.list_best_new_matches if new_only else sql.list_best_feed
        rows = await self._database.fetch(query, *(after or (None, None)), limit + 1, offset)
        return await self._page(rows, limit, "similarity_score", viewer_id)

    async def reacted(
        self,
        *,
        viewer_id: UUID,
        reaction: ReactionType,
        limit: int,
        offset: int = 0,
        after: ByTime | None = None,
    ) -> CountedPage[Match, ByTime]:
        """The matches to which the viewer has reacted so, newest match first."""
        rows = await self._database.fetch(
            sql.list_reacted_matches, viewer_id, reaction, *(after or (None, None)), limit + 1, offset
        )
        return await self._page(rows, limit, "created_at", viewer_id)

    async def best_reacted(
        self,
        *,
        viewer_id: UUID,
        reaction: ReactionType,
        limit: int,
        offset: int = 0,
        after: ByScore | None = None,
    ) -> CountedPage[Match, ByScore]:
        """The same, best first."""
        rows = await self._database.fetch(
            sql.list_best_reacted_matches,
            viewer_id,
            reaction,
            *(after or (None, None)),
            limit + 1,
            offset,
        )
        return await self._page(rows, limit, "similarity_score", viewer_id)

    async def of_user(
        self, user_id: UUID, *, viewer_id: UUID, limit: int, offset: int = 0, after: ByTime | None = None
    ) -> CountedPage[Match, ByTime]:
        """The matches of all faces of a user, newest first."""
        rows = await self._database.fetch(
            sql.list_matches_of_user, user_id, *(after or (None, None)), limit + 1, offset
        )
        return await self._page(rows, limit, "created_at", viewer_id)

    async def of_face(
        self, face_id: UUID, *, viewer_id: UUID, limit: int, offset: int = 0, after: ByScore | None = None
    ) -> CountedPage[Match, ByScore]:
        """The best match of a face with each other user, best first."""
        rows = await self._database.fetch(
            sql.list_matches_of_face, face_id, *(after or (None, None)), limit + 1, offset
        )
        return await self._page(rows, limit, "similarity_score", viewer_id)

    async def celebrities(
        self, face_id: UUID, *, limit: int, after: ByScore | None = None
    ) -> CountedPage[SavedCelebrityMatch, ByScore]:
        """The saved celebrity matches of a face, best first."""
        rows = await self._database.fetch(
            sql.list_celebrity_matches, face_id, *(after or (None, None)), limit + 1
        )
        shown, more = cut_page(rows, limit, "similarity_score")
        return CountedPage([_celebrity(row) for row in shown], more, rows[0]["total"])

    async def check_owner(self, face_id: UUID, user_id: UUID) -> None:
        """Raises NotFoundError if there is no such face, ForbiddenError if it is not the user's."""
        owner = await self._database.fetchval(sql.owner_of_face, face_id)
        if owner is None:
            raise NotFoundError("There is no such face.")
        if owner != user_id:
            raise ForbiddenError("This is a face of somebody else.")

    async def stats(self, viewer_id: UUID | None) -> MatchStats:
        """Counts of the live feed."""
        row = await self._database.fetchrow(sql.match_stats, viewer_id)
        if row is None:
            raise AssertionError("A SELECT without FROM has one row.")
        return MatchStats(**row)

    async def _page(
        self,
        rows: Sequence[asyncpg.Record],
        limit: int,
        sorted_by: Literal["created_at", "similarity_score"],
        viewer_id: UUID | None,
    ) -> CountedPage[Match, Any]:
        shown, more = cut_page(rows, limit, sorted_by)
        matches = await self.load([row["id"] for row in shown], viewer_id)
        return CountedPage(matches, more, rows[0]["total"])

    async def load(self, ids: list[UUID], viewer_id: UUID | None) -> list[Match]:
        """The matches of these ids, in their order, without those deleted in the meantime."""
        if not ids:
            return []
        rows = {row["id"]: row for row in await self._database.fetch(sql.load_matches, ids, viewer_id)}
        return [_match(rows[identity]) for identity in ids if identity in rows]


def _match(row: asyncpg.Record) -> Match:
    return Match(
        id=row["id"],
        similarity_score=row["similarity_score"],
        created_at=row["created_at"],
        factors=_factors(row),
        pack_digest=row["pack_digest"],
        my_reaction=row["my_reaction"],
        a=Person.of(row, "a"),
        b=Person.of(row, "b"),
    )


def _celebrity(row: asyncpg.Record) -> SavedCelebrityMatch:
    return SavedCelebrityMatch(
        id=row["id"],
        similarity_score=row["similarity_score"],
        factors=_factors(row),
        pack_digest=row["pack_digest"],
        celebrity_id=row["celebrity_id"],
        name=row["name"],
        bio=row["bio"],
        category=row["category"],
        gender=row["gender"],
        image_path=row["image_path"],
    )


def _factors(row: asyncpg.Record) -> Factors | None:
    """All six or none, says the table."""
    if row["factor_embedding"] is None:
        return None
    return Factors(
        embedding=row["factor_embedding"],
        geometry=row["factor_geometry"],
        age=row["factor_age"],
        symmetry=row["factor_symmetry"],
        skin_tone=row["factor_skin_tone"],
        expression=row["factor_expression"],
    )
