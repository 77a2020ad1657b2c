"""Searches among users' faces. Each search is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from db.nearest import VectorSearch
from db.pool import Database
from db.profiles import StatedGender
from db.queries import sql
from semblance.types import Embedding

FACES = VectorSearch(
    candidates=sql.face_candidates,
    by_index=sql.nearest_faces,
    exact=sql.nearest_faces_exact,
    pack_digests=sql.face_pack_digests,
    what="Every face of a user",
    remedy="Embed them with this pack (`python -m batch.reembed`), or serve the other one.",
)
"""Filters: school and gender."""


@dataclass(frozen=True, slots=True)
class Searcher:
    """Who searches: an admin, the holder of an API key, or a session of the console that a code opened. The
    other fields are None."""

    profile_id: UUID | None = None
    api_key_id: UUID | None = None
    console_session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class FaceHit:
    """A user's face that was found. name, school, gender: as the user states them. similarity: the cosine of
    the two embeddings, -1..1."""

    face_id: UUID
    profile_id: UUID
    name: str | None
    school: str | None
    gender: StatedGender | None
    image_path: str
    similarity: float


class FaceSearches:
    """The table `face_searches`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nearest(
        self,
        embedding: Embedding,
        *,
        pack_digest: str,
        searcher: Searcher,
        request_id: str,
        limit: int = 10,
        school: str | None = None,
        gender: StatedGender | None = None,
    ) -> list[FaceHit]:
        """The `limit` faces of users most like a face, best first; fewer only if fewer pass the filters.

        A record of the search is stored before anything is returned.

        Args:
            embedding: float32 [512], finite, not zero.
            pack_digest: of the pack the embedding comes from; faces of other packs are left out.
            limit: 1..1000.

        Raises BadInputError for an embedding or limit out of bounds, PackMismatchError if faces have
        embeddings, but none has one of this pack.
        """
        async with self._database.transaction() as connection:
            rows = await FACES.nearest(connection, embedding, pack_digest, (school, gender), limit)
            await connection.execute(
                sql.record_face_search,
                searcher.profile_id,
                searcher.api_key_id,
                searcher.console_session_id,
                school,
                gender,
                limit,
                len(rows),
                request_id,
            )
        if not rows:
            async with self._database.transaction(readonly=True) as connection:
                await FACES.check_pack(connection, pack_digest)
        return [FaceHit(**row) for row in rows]
