"""Embeddings of faces that were made elsewhere, written by face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.pool import Database
from db.queries import sql
from semblance.types import Embedding


@dataclass(frozen=True, slots=True)
class NewFace:
    """What a face needs besides its embedding. created_at: now where it is None."""

    profile_id: UUID
    image_path: str
    image_hash: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class FillResult:
    """filled: faces that had no embedding and have one now. created: faces that are new. refused: reason by
    face, for ids that no face has and for faces whose embedding is another one, which stays."""

    filled: int
    created: int
    refused: dict[UUID, str]


@dataclass(frozen=True, slots=True)
class FaceCoverage:
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

    async def of_points(self, points: Sequence[str]) -> dict[str, UUID]:
        """Faces by the Qdrant points that the old system's column names; none where there is no such
        column."""
        return {
            row["point"]: row["face_id"] for row in await self._database.fetch(sql.faces_of_points, points)
        }

    async def fill(
        self,
        embeddings: Mapping[UUID, Embedding],
        pack_digest: str,
        new: Mapping[UUID, NewFace] | None = None,
    ) -> FillResult:
        """Give each face its embedding (float32 [512], unit length) unless it has one; all or none, and safe
        to repeat: an embedding that is there already, to a cosine distance of 1e-4, is neither filled nor
        refused.

        new: faces to create, among those with an embedding, unless they exist. A profile is never created.
        """
        rows = [
            (face_id, face.profile_id, face.image_path, face.image_hash, face.created_at)
            for face_id, face in (new or {}).items()
        ]
        async with self._database.transaction() as connection:
            await connection.execute(sql.stage_face_embeddings)
            await connection.copy_records_to_table(
                "staged_face_embeddings", records=list(embeddings.items()), schema_name="pg_temp"
            )
            await connection.execute(sql.stage_new_faces)
            await connection.copy_records_to_table("staged_new_faces", records=rows, schema_name="pg_temp")
            created = await connection.fetchval(sql.create_faces, pack_digest)
            filled = await connection.fetchval(sql.fill_face_embeddings, pack_digest)
            refused = await connection.fetch(sql.compare_staged_face_embeddings, pack_digest)
        return FillResult(filled, created, {row["face_id"]: row["reason"] for row in refused})

    async def other_pack(self, pack_digest: str) -> str | None:
        """The pack, other than this, that most embeddings are of; None where there is none."""
        digest: str | None = await self._database.fetchval(sql.other_pack_of_faces, pack_digest)
        return digest

    async def coverage(self) -> FaceCoverage:
        """How far the faces are filled."""
        row = await self._database.fetchrow(sql.count_face_embeddings)
        return FaceCoverage(0, 0) if row is None else FaceCoverage(row["total"], row["embedded"])
