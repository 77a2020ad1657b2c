"""Writes embeddings that were made elsewhere to the faces they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.copies import copy_records
from db.pool import Database
from db.queries import sql
from semblance.types import Embedding


@dataclass(frozen=True, slots=True)
class NewFace:
    """The columns of a new face, apart from its embedding. created_at: None for now."""

    profile_id: UUID
    image_path: str
    image_hash: str | None
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class FillResult:
    """filled: faces that had no embedding and have one now. created: new faces. refused: the reason by id,
    for ids without a face and for faces that have another embedding, which stays."""

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
        """0..100; 100 if there are no faces."""
        return 100.0 * self.embedded / self.total if self.total else 100.0


class FaceEmbeddings:
    """The embeddings in `faces`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_points(self, points: Sequence[str]) -> dict[str, UUID]:
        """The faces of Qdrant points, by the old app's column. Empty if the table no longer has that
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
        to repeat: an embedding that the face already has, within a cosine distance of 1e-4, is neither filled
        nor refused.

        Args:
            new: faces to create unless they exist, among those with an embedding. Profiles are never created.
        """
        rows = [
            (face_id, face.profile_id, face.image_path, face.image_hash, face.created_at)
            for face_id, face in (new or {}).items()
        ]
        async with self._database.transaction() as connection:
            await connection.execute(sql.stage_face_embeddings)
            await copy_records(connection, "staged_face_embeddings", list(embeddings.items()))
            await connection.execute(sql.stage_new_faces)
            await copy_records(connection, "staged_new_faces", rows)
            created = await connection.fetchval(sql.create_faces, pack_digest)
            filled = await connection.fetchval(sql.fill_face_embeddings, pack_digest)
            refused = await connection.fetch(sql.compare_staged_face_embeddings, pack_digest)
        return FillResult(filled, created, {row["face_id"]: row["reason"] for row in refused})

    async def other_pack(self, pack_digest: str) -> str | None:
        """The other pack that most embeddings come from, if any."""
        digest: str | None = await self._database.fetchval(sql.other_pack_of_faces, pack_digest)
        return digest

    async def coverage(self) -> FaceCoverage:
        """How many faces there are, and how many have an embedding."""
        row = await self._database.fetchrow(sql.count_face_embeddings)
        return FaceCoverage(0, 0) if row is None else FaceCoverage(row["total"], row["embedded"])
