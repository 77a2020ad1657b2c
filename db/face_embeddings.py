"""Embeddings of faces that were made elsewhere, written by face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from db.pool import Database
from db.queries import queries
from semblance.types import Embedding

_STAGE = queries["stage_face_embeddings"]
_FILL = queries["fill_face_embeddings"]
_COMPARE = queries["compare_staged_face_embeddings"]
_COUNT = queries["count_face_embeddings"]


@dataclass(frozen=True, slots=True)
class FillResult:
    """filled: faces that had no embedding and have one now. refused: reason by face, for ids that no face
    has and for faces whose embedding is another one, which stays."""

    filled: int
    refused: dict[UUID, str]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Faces in the database, and how many of them have an embedding."""

    total: int
    embedded: int

    @property
    def percent(self) -> float:
        """0..100; 100 where there are no faces."""
        return 100.0 * self.embedded / self.total if self.total else 100.0


class FaceEmbeddings:
    """The embeddings in `faces`. Every method raises DatabaseError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fill(self, embeddings: Mapping[UUID, Embedding], pack_digest: str) -> FillResult:
        """Give each face its embedding (float32 [512], unit length) unless it has one; all or none, and safe
        to repeat: an embedding that is there already, to a cosine distance of 1e-4, is neither filled nor
        refused."""
        async with self._database.transaction() as connection:
            await connection.execute(_STAGE)
            await connection.copy_records_to_table(
                "staged_face_embeddings", records=list(embeddings.items()), schema_name="pg_temp"
            )
            filled = await connection.fetchval(_FILL, pack_digest)
            rows = await connection.fetch(_COMPARE, pack_digest)
        return FillResult(filled, {row["face_id"]: row["reason"] for row in rows})

    async def coverage(self) -> Coverage:
        """How far the faces are filled."""
        row = await self._database.fetchrow(_COUNT)
        return Coverage(0, 0) if row is None else Coverage(row["total"], row["embedded"])
