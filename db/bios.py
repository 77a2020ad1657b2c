"""What people say about themselves, what it means as vectors, and the search for people by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector

from db.pool import Connection, Database
from db.queries import sql

DIMENSIONS: Final = 384
"""Numbers of a stored vector; those of the text pack that ships."""

MOST_FOUND: Final = 50
"""People whom a search returns."""

EXACT_MOST: Final = 10_000
"""People with a bio up to whom a school is compared whole; beyond, the index is faster
(benchmarks/text_search.py)."""

EF_SEARCH: Final = 200
"""Candidates of a search of the index (benchmarks/text_search.py)."""

CANDIDATES: Final = 100
"""The best of each of the two rankings that are fused."""

RANKED: Final = 1000
"""People who use the words of a query and are ranked by how."""

_FUSION: Final = 60
"""Constant of reciprocal rank fusion, from Cormack, Clarke and Buettcher, "Reciprocal Rank Fusion outperforms
Condorcet and individual rank learning methods" (SIGIR 2009)."""

_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class TextVector:
    """What a text means. values: unit length, float32 [DIMENSIONS]. model: by which; only vectors of the
    same model can be compared."""

    values: NDArray[np.float32]
    model: str


@dataclass(frozen=True, slots=True)
class PersonFound:
    """Somebody whom a search has found. image_path: storage key of the default face's picture."""

    id: UUID
    name: str | None
    bio: str
    image_path: str | None


@dataclass(frozen=True, slots=True)
class VectorsOfModel:
    """How many bios have a vector of a model, and when the latest was made."""

    model: str
    vectors: int
    latest: datetime


class Bios:
    """The bios of `profiles`, with `bio_words` and `bio_vectors`. Every method raises DatabaseError if the
    database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def searched(self) -> bool:
        """Whether an admin has switched the search on."""
        return bool(await self._database.fetchval(sql.bio_search_wanted))

    async def find(self, asked: str, vector: TextVector | None, *, by: UUID, limit: int) -> list[PersonFound]:
        """People of the user's school whose bios fit best to what was asked, best first: by meaning and by
        words, fused by reciprocal ranks.

        Leaves out the user and those with whom a connection is blocked. Empty without a school.

        Args:
            asked: as PostgreSQL's websearch_to_tsquery reads it. vector: of it; None: by words only.
            by: the user who asks. limit: 1..MOST_FOUND.
        """
        async with self._database.transaction(readonly=True) as connection:
            await connection.fetchrow(sql.tune_bio_search, str(EF_SEARCH))
            own = await connection.fetchrow(sql.school_of_searcher, by, EXACT_MOST + 1)
            if own is None:
                return []
            school, left_out = own["school_key"], [by, *own["blocked"]]
            words = await connection.fetch(sql.bios_by_words, asked, school, left_out, RANKED, CANDIDATES)
            meaning = []
            if vector is not None:
                nearest = sql.bios_by_meaning_exact if own["people"] <= EXACT_MOST else sql.bios_by_meaning
                meaning = await connection.fetch(
                    nearest, vector.values, vector.model, school, left_out, CANDIDATES
                )
            best = fuse([[row["profile_id"] for row in rows] for rows in (words, meaning)])[:limit]
            people = {row["id"]: PersonFound(**row) for row in await connection.fetch(sql.people_found, best)}
        return [people[person] for person in best if person in people]

    async def queue_missing(self, model: str) -> int:
        """Queue the bios that lack a vector of this model, where the search is on; returns how many."""
        if not await self.searched():
            return 0
        queued = 0
        while True:
            async with self._database.transaction() as connection:
                await connection.execute(sql.lock_bio_jobs)
                some = int(await connection.fetchval(sql.queue_missing_bios, model, _AT_ONCE))
            queued += some
            if some < _AT_ONCE:
                return queued

    async def to_embed(self, profiles: Sequence[UUID], model: str) -> dict[UUID, str]:
        """The bios of those of these profiles that lack a vector of this model; none if the search is off."""
        rows = await self._database.fetch(sql.bios_to_embed, list(profiles), model)
        return {row["id"]: row["bio"] for row in rows}

    async def missing(self, model: str, limit: int) -> dict[UUID, str]:
        """Up to `limit` bios that lack a vector of this model."""
        rows = await self._database.fetch(sql.missing_bios, model, limit)
        return {row["id"]: row["bio"] for row in rows}

    async def store(self, bios: dict[UUID, str], model: str, vectors: NDArray[np.float32]) -> int:
        """Store the vectors of bios that have not changed since they were read; returns how many.

        vectors: float32 [len(bios), DIMENSIONS], in the same order.
        """
        async with self._database.transaction() as connection:
            return len(await _store(connection, bios, model, vectors))

    async def count(self) -> int:
        """How many people have a bio."""
        return int(await self._database.fetchval(sql.count_bios))

    async def models(self) -> list[VectorsOfModel]:
        """The models of which there are vectors, the latest first."""
        return [VectorsOfModel(**row) for row in await self._database.fetch(sql.count_bio_vectors)]

    async def retire(self, model: str) -> int:
        """Remove the vectors of all models but this one; returns how many."""
        removed = 0
        while count := int(await self._database.fetchval(sql.retire_bio_vectors, model, _AT_ONCE)):
            removed += count
        return removed


async def store_or_queue_again(connection: Connection, profile: UUID, bio: str, vector: TextVector) -> None:
    """Store the vector of a bio, or queue another job if the bio has changed since it was read."""
    if not await _store(connection, {profile: bio}, vector.model, vector.values[np.newaxis]):
        await connection.execute(sql.queue_bio_again, profile)


def fuse(rankings: Sequence[Sequence[UUID]]) -> list[UUID]:
    """One ranking of several, each best first, by the sum of 1 / (60 + rank); of equals, the one comes first
    that an earlier ranking has."""
    scores: defaultdict[UUID, float] = defaultdict(float)
    for ranking in rankings:
        for rank, person in enumerate(ranking, 1):
            scores[person] += 1 / (_FUSION + rank)
    return sorted(scores, key=lambda person: -scores[person])


async def _store(
    connection: Connection, bios: dict[UUID, str], model: str, vectors: NDArray[np.float32]
) -> list[UUID]:
    # The driver would take arrays in a list for an array of two dimensions.
    rows = await connection.fetch(
        sql.store_bio_vectors, list(bios), list(bios.values()), model, list(map(Vector, vectors))
    )
    return [row["profile_id"] for row in rows]
