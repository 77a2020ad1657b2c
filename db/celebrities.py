"""The gallery: celebrities with their embeddings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

from db.described import DescribedRow
from db.pool import Database
from db.queries import queries
from semblance.errors import BadInputError, PackMismatchError, QueryError
from semblance.types import EMBEDDING_SIZE, Embedding, Gender

_TUNE = queries["tune_nearest"]
_ESTIMATE = "EXPLAIN (FORMAT JSON) " + queries["celebrity_candidates"]
_NEAREST = queries["nearest_celebrities"]
_NEAREST_EXACT = queries["nearest_celebrities_exact"]
_PACK_DIGESTS = queries["celebrity_pack_digests"]
_KNOWN_HASHES = queries["known_celebrity_hashes"]
_COUNT = queries["count_celebrities"]
_STAGE = queries["stage_celebrities"]
_COMPLETE = queries["complete_celebrities"]
_MERGE = queries["merge_celebrities"]
_COMPARE = queries["compare_staged_celebrities"]
_ANALYZE = queries["analyze_celebrities"]

MAX_LIMIT = 1000
"""pgvector's own bound of ef_search, the number of neighbours a search keeps in sight."""

_EXACT_SHARE = 0.25
"""Where filters leave a smaller share of the gallery, comparing all that pass takes less time than searching
the graph widely enough: of 100,000 celebrities 20,000 are compared in 29 ms, and with ef_search 1000 it finds
.979 of their best ten in 40 ms (benchmarks/vector_search.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CelebrityRow(DescribedRow):
    """A celebrity as stored.

    gender: as stated. seen_gender: as the analyzer saw it; it counts where none is stated.
    image_hash: MD5 of the picture file in hex; it finds the same picture again and protects nothing.
    """

    id: UUID
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None
    seen_gender: Gender | None
    image_path: str
    image_hash: str


@dataclass(frozen=True, slots=True)
class CelebrityHit:
    """A celebrity found for a face. gender: as stated, or else as seen. similarity: the cosine of the two
    embeddings, -1..1."""

    celebrity_id: UUID
    name: str
    category: str | None
    gender: Gender | None
    image_path: str
    similarity: float


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What became of the rows given to `Celebrities.copy_in`.

    inserted: now in the gallery.
    duplicates: pictures that the gallery had already, or that came twice.
    other_pack: pictures that the gallery has with an embedding of another pack, or none; left as they are.
    """

    inserted: int
    duplicates: int
    other_pack: int

    @property
    def skipped(self) -> int:
        return self.duplicates + self.other_pack


_COLUMNS = tuple(field.name for field in fields(CelebrityRow))


class Celebrities:
    """The table `celebrities`. Every method raises DatabaseError where the database does not answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def nearest(
        self,
        embedding: Embedding,
        *,
        pack_digest: str,
        limit: int = 10,
        category: str | None = None,
        gender: Gender | None = None,
    ) -> list[CelebrityHit]:
        """The `limit` celebrities most like a face, best first; fewer only where fewer pass the filters.

        Args:
            embedding: float32 [512], finite, not zero.
            pack_digest: of the pack the embedding comes from; celebrities of other packs are left out.
            limit: 1..1000.

        Raises BadInputError for an embedding or limit out of bounds, PackMismatchError where the gallery
        has embeddings, but none of this pack.
        """
        _check_probe(embedding, limit)
        filters = (pack_digest, category, gender)
        async with self._db.transaction(readonly=True) as connection:
            filtered = category is not None or gender is not None
            await connection.fetchrow(_TUNE, str(_ef_search(limit, filtered=filtered)))
            exact = filtered and await _leave_few(connection, *filters)
            rows = [] if exact else await connection.fetch(_NEAREST, embedding, *filters, limit)
            if len(rows) < limit:
                # Few rows pass, or the search gave up at its bounds of work and memory.
                rows = await connection.fetch(_NEAREST_EXACT, embedding, *filters, limit)
            if not rows:
                await _check_pack(connection, pack_digest)
        return [_hit(row) for row in rows]

    async def known_hashes(self, pack_digest: str) -> set[str]:
        """Hashes of the pictures whose celebrities have an embedding of this pack and a known gender."""
        return {row["image_hash"] for row in await self._db.fetch(_KNOWN_HASHES, pack_digest)}

    async def copy_in(self, rows: Sequence[CelebrityRow]) -> CopyResult:
        """Store rows that are not there yet, all or none; safe to repeat and to run in several processes.

        A celebrity that is there without any gender gets the one that was seen.

        Raises QueryError where a row breaks a rule of the table, or has the id of another celebrity.
        """
        async with self._db.transaction() as connection:
            await connection.execute(_STAGE)
            await connection.copy_records_to_table(
                "staged_celebrities", records=map(_record, rows), columns=_COLUMNS, schema_name="pg_temp"
            )
            await connection.execute(_COMPLETE)
            inserted = await connection.fetchval(_MERGE)
            compared = await connection.fetchrow(_COMPARE)
            if compared["lost"]:
                raise QueryError(
                    f"{compared['lost']} celebrities have the id of another picture's celebrity."
                )
        other_pack = compared["other_pack"]
        return CopyResult(inserted, len(rows) - inserted - other_pack, other_pack)

    async def analyze(self) -> None:
        """Renew the planner's statistics, which it would guess until the server does so by itself."""
        await self._db.execute(_ANALYZE)

    async def count(self, pack_digest: str | None = None) -> int:
        """How many celebrities there are, or how many have an embedding of a pack."""
        return int(await self._db.fetchval(_COUNT, pack_digest))


def _ef_search(limit: int, *, filtered: bool) -> int:
    """Neighbours the search keeps in sight. Of the best ten among 100,000 embeddings 400 find .979 and 600
    find .995; where a filter leaves half of them, 600 find .983 and 1000 find .995
    (benchmarks/vector_search.py)."""
    return MAX_LIMIT if filtered else min(max(600, 4 * limit), MAX_LIMIT)


async def _leave_few(
    connection: asyncpg.Connection, pack_digest: str, category: str | None, gender: Gender | None
) -> bool:
    """Whether the filters leave less than _EXACT_SHARE of a pack's gallery, as far as the planner knows.

    Where it errs, the search is slower or finds a little less of the best, and is never short.
    """
    passing = await _estimate(connection, pack_digest, category, gender)
    return passing < _EXACT_SHARE * await _estimate(connection, pack_digest, None, None)


async def _estimate(connection: asyncpg.Connection, *filters: str | None) -> float:
    plan = json.loads(await connection.fetchval(_ESTIMATE, *filters))
    return float(plan[0]["Plan"]["Plan Rows"])


def _check_probe(embedding: Embedding, limit: int) -> None:
    if embedding.shape != (EMBEDDING_SIZE,) or not np.isfinite(embedding).all() or not embedding.any():
        raise BadInputError(f"An embedding is {EMBEDDING_SIZE} finite numbers that are not all zero.")
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInputError(f"A search returns 1 to {MAX_LIMIT} celebrities, not {limit}.")


async def _check_pack(connection: asyncpg.Connection, pack_digest: str) -> None:
    row = await connection.fetchrow(_PACK_DIGESTS, pack_digest)
    if not row["present"] and row["other"] is not None:
        raise PackMismatchError(
            f"The gallery was embedded by the model pack {row['other']}, the face by {pack_digest}: they "
            "cannot be compared. Ingest the gallery with this pack, or serve the other one."
        )


def _record(row: CelebrityRow) -> tuple[Any, ...]:
    return tuple(getattr(row, column) for column in _COLUMNS)


def _hit(row: asyncpg.Record) -> CelebrityHit:
    return CelebrityHit(
        celebrity_id=row["id"],
        name=row["name"],
        category=row["category"],
        gender=row["gender"],
        image_path=row["image_path"],
        similarity=row["similarity"],
    )
