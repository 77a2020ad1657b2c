"""Rows for tests of the feed and of reactions to matches: faces, matches, likes, celebrities."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from db.pool import Database

FACTORS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
WEIGHTS = {
    "embedding": 0.2, "geometry": 0.2, "age": 0.15, "symmetry": 0.15, "skin_tone": 0.15, "expression": 0.15,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FeedPair:
    """Two users, a face of each, and a match of the two."""

    a: UUID
    b: UUID
    face_a: UUID
    face_b: UUID
    match: UUID


async def add_profile(database: Database, name: str | None = "Somebody", **columns: object) -> UUID:
    """A user; returns the id."""
    profile_id = uuid.uuid4()
    values = {"id": profile_id, "profile_type": "user", "name": name, **columns}
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await database.execute(f"INSERT INTO profiles ({', '.join(values)}) VALUES ({places})", *values.values())
    return profile_id


async def add_face(database: Database, profile_id: UUID, *, default: bool = False) -> UUID:
    """A face without an embedding; returns the id."""
    face_id = uuid.uuid4()
    await database.execute(
        "INSERT INTO faces (id, profile_id, image_path) VALUES ($1, $2, $3)",
        face_id, profile_id, f"faces/{face_id}.jpg",
    )  # fmt: skip
    if default:
        await database.execute("UPDATE profiles SET default_face_id = $2 WHERE id = $1", profile_id, face_id)
    return face_id


async def add_match(
    database: Database,
    face: UUID,
    other: UUID,
    *,
    score: float = 0.75,
    created_at: datetime | None = None,
    factors: tuple[float, ...] | None = FACTORS,
) -> UUID:
    """A match of two faces; returns the id."""
    match_id: UUID = await database.fetchval(
        """
        INSERT INTO matches (
            face_a_id, face_b_id, similarity_score, created_at, factor_embedding, factor_geometry, factor_age,
            factor_symmetry, factor_skin_tone, factor_expression, weights
        )
        VALUES (
            least($1::uuid, $2), greatest($1::uuid, $2), $3, coalesce($4, now()), $5, $6, $7, $8, $9, $10, $11
        )
        RETURNING id
        """,
        face, other, score, created_at, *(factors or (None,) * 6), WEIGHTS if factors else None,
    )  # fmt: skip
    return match_id


async def add_pair(
    database: Database, a: UUID | None = None, b: UUID | None = None, *, score: float = 0.75
) -> FeedPair:
    """A match of two users, who are created unless given."""
    a = a or await add_profile(database, "Ada")
    b = b or await add_profile(database, "Bob")
    face_a, face_b = await add_face(database, a, default=True), await add_face(database, b, default=True)
    return FeedPair(a, b, face_a, face_b, await add_match(database, face_a, face_b, score=score))


async def add_celebrity_match(database: Database, face_id: UUID, name: str, score: float) -> UUID:
    """A celebrity, and their match with a face; returns the match's id."""
    match_id: UUID = await database.fetchval(
        """
        WITH celebrity AS (
            INSERT INTO celebrities (name, category, image_path)
            VALUES ($2, 'actors', 'celebrities/x.jpg')
            RETURNING id
        )
        INSERT INTO celebrity_matches (
            face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
            factor_symmetry, factor_skin_tone, factor_expression, weights
        )
        SELECT $1, id, $3, $4, $5, $6, $7, $8, $9, $10 FROM celebrity
        RETURNING id
        """,
        face_id, name, score, *FACTORS, WEIGHTS,
    )  # fmt: skip
    return match_id


async def add_baby(database: Database, match_id: UUID, profile_id: UUID, key: str = "babies/x.jpg") -> UUID:
    """A baby picture of a match; returns the id."""
    baby_id: UUID = await database.fetchval(
        "INSERT INTO babies (match_id, generated_by_profile_id, image_url) VALUES ($1, $2, $3) RETURNING id",
        match_id, profile_id, key,
    )  # fmt: skip
    return baby_id
