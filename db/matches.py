"""Lists of matches: between users (the live feed, those of a user, those of a face) and with celebrities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self
from uuid import UUID

import asyncpg

from db.pages import ByScore, ByTime, CountedPage, cut_page
from db.pool import Database
from db.profiles import StatedGender
from db.queries import sql
from db.reactions import ReactionType
from semblance.errors import ForbiddenError, NotFoundError
from semblance.types import Gender


# A page has a hundred of the following three, and a frozen dataclass takes three times as long to make.
class Factors(NamedTuple):
    """The six factors of a score, each 0..1; 1 means alike."""

    embedding: float
    geometry: float
    age: float
    symmetry: float
    skin_tone: float
    expression: float


class Person(NamedTuple):
    """One side of a match. image_path: storage key of the face's photo. online, last_seen: None if hidden
    from the viewer."""

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
        """The person from a row whose columns are prefixed with the side."""
        return cls._make(map(row.__getitem__, _COLUMNS_OF[side]))


_COLUMNS_OF = {side: tuple(f"{side}_{name}" for name in Person._fields) for side in ("a", "b")}


class Match(NamedTuple):
    """Two users whose faces are alike, score 0..1. factors: None for matches of the old app. pack_digest: the
    pack whose embeddings the match was found with; None where that was not stored."""

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
    """A celebrity who looks like a face, score 0..1. factors, pack_digest: as in Match."""

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
    users connected now or seen in the last 15 minutes."""

    total: int
    viewed: int | None
    active_users: int


class Matches:
    """The tables `matches` and `celebrity_matches`. Every method raises DatabaseError if the database does
    not answer.

    A page skips `offset` rows and has up to `limit`. With `after`, the `next` of the previous page, it
    continues from there. viewer_id: the user whose reactions are shown.
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
        """All matches, newest first. new_only: only those of the last 5 minutes."""
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
        """All matches, best first. new_only: only those of the last 5 minutes."""
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
        """The matches with this reaction of the viewer, newest match first."""
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
        """The matches with this reaction of the viewer, best first."""
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
        """A face's best match with each other user, best first."""
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
        """Raises NotFoundError if the face does not exist, ForbiddenError if it belongs to another user."""
        owner = await self._database.fetchval(sql.owner_of_face, face_id)
        if owner is None:
            raise NotFoundError("This face does not exist.")
        if owner != user_id:
            raise ForbiddenError("This face belongs to another user.")

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
        """The matches with these ids, in the same order, without those deleted in the meantime."""
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
    """The table ensures that a match has all six or none."""
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
