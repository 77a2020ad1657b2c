"""The gallery: celebrities with their embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID

import asyncpg
import numpy as np

from db.analyzed import AnalyzedRow
from db.copies import copy_records
from db.nearest import pack_mismatch
from db.pool import Database
from db.queries import sql
from semblance.errors import QueryError
from semblance.types import Embedding, Gender, Landmarks


@dataclass(frozen=True, slots=True, kw_only=True)
class CelebrityRow(AnalyzedRow):
    """A celebrity as stored.

    gender: as stated. seen_gender: as the analyzer saw it, which counts if none is stated.
    image_hash: MD5 of the file in hex, to recognise the same file; not for security.
    person_id: whom it shows; None: the person of this name and category, who is added if need be.
    """

    id: UUID
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None
    seen_gender: Gender | None
    image_path: str
    image_hash: str
    person_id: UUID | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CelebrityHit:
    """A person found for a face, by the photo most like it, which is the celebrity.

    gender: as stated, else as seen. similarity: the cosine of the two embeddings, -1..1. traits: the columns
    that the factors compare. landmarks: float32 [68, 2], in pixels of the stored picture; None if they are
    not known.
    """

    celebrity_id: UUID
    person_id: UUID
    name: str
    category: str | None
    gender: Gender | None
    image_path: str
    similarity: float
    traits: Mapping[str, Any]
    landmarks: Landmarks | None


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What `Celebrities.copy_in` did with its rows.

    inserted: added to the gallery.
    duplicates: the gallery had the picture already, or it came twice.
    other_pack: the gallery has the picture with an embedding of another pack, or none; left unchanged.
    """

    inserted: int
    duplicates: int
    other_pack: int


_COLUMNS = tuple(field.name for field in fields(CelebrityRow))


class Celebrities:
    """The table `celebrities`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nearest_of(
        self,
        ids: Sequence[UUID],
        embedding: Embedding,
        *,
        pack_digest: str,
        limit: int,
        category: str | None,
        gender: Gender | None,
    ) -> list[CelebrityHit]:
        """Of these celebrities the `limit` people most like a face, each by the photo most like it, best
        first; those that do not pass the filters or have no embedding of the pack are left out."""
        rows = await self._database.fetch(
            sql.nearest_of_celebrities, embedding, pack_digest, category, gender, limit, ids
        )
        return [_hit(row) for row in rows]

    async def known_hashes(self, pack_digest: str) -> set[str]:
        """Hashes of the pictures whose celebrities have an embedding of this pack and a known gender."""
        return {
            row["image_hash"] for row in await self._database.fetch(sql.known_celebrity_hashes, pack_digest)
        }

    async def copy_in(self, rows: Sequence[CelebrityRow]) -> CopyResult:
        """Store the rows that do not exist yet, all or none; safe to repeat and to run in several processes.

        An existing celebrity without any gender gets the one that was seen.

        Raises QueryError if a row breaks a rule of the table, or has the id of another celebrity.
        """
        async with self._database.transaction() as connection:
            await connection.execute(sql.stage_celebrities)
            await copy_records(connection, "staged_celebrities", map(_record, rows), _COLUMNS)
            await connection.execute(sql.complete_celebrities)
            await connection.execute(sql.add_people_of_celebrities)
            inserted = await connection.fetchval(sql.merge_celebrities)
            compared = await connection.fetchrow(sql.compare_staged_celebrities)
            if compared["lost"]:
                raise QueryError(
                    f"{compared['lost']} celebrities have the id of another picture's celebrity."
                )
        other_pack = compared["other_pack"]
        return CopyResult(inserted, len(rows) - inserted - other_pack, other_pack)

    async def analyze(self) -> None:
        """Update the planner's statistics, instead of waiting until the server does."""
        await self._database.execute(sql.analyze_celebrities)

    async def count(self, pack_digest: str | None = None) -> int:
        """How many celebrities there are, or how many have an embedding of a pack."""
        return int(await self._database.fetchval(sql.count_celebrities, pack_digest))

    async def other_pack(self, pack_digest: str) -> str | None:
        """Digest of the pack that the gallery was embedded by, if it has no embedding of this one. Raises
        DatabaseError."""
        row = await self._database.fetchrow(sql.celebrity_pack_digests, pack_digest)
        return None if row is None or row["present"] else row["other"]

    async def check_pack(self, pack_digest: str) -> None:
        """Raise PackMismatchError if the gallery has embeddings, but none of this pack."""
        if other := await self.other_pack(pack_digest):
            raise pack_mismatch(
                "The gallery",
                other,
                pack_digest,
                "Embed it with this pack (`python -m batch.reembed`), or serve the other one.",
            )


def _record(row: CelebrityRow) -> tuple[Any, ...]:
    return tuple(getattr(row, column) for column in _COLUMNS)


def _hit(row: asyncpg.Record) -> CelebrityHit:
    landmarks = row["landmarks_68"]
    return CelebrityHit(
        celebrity_id=row["id"],
        person_id=row["person_id"],
        name=row["name"],
        category=row["category"],
        gender=row["gender"],
        image_path=row["image_path"],
        similarity=row["similarity"],
        traits={**{name: row[name] for name in _TRAITS}, "embedding": row["embedding"].to_numpy()},
        landmarks=None if landmarks is None else np.array(landmarks, np.float32),
    )


_TRAITS = ("geometry_ratios", "age", "symmetry_score", "skin_tone_lab", "expression")
