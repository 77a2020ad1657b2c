"""Rows for the tests of chat: connected people."""

from __future__ import annotations

from uuid import UUID

from db.pool import Database

_PROFILE = """
    INSERT INTO profiles (id, profile_type, name) VALUES (gen_random_uuid(), 'user', $1) RETURNING id
"""
_CONNECTION = """
    WITH face_a AS (INSERT INTO faces (profile_id, image_path) VALUES ($1, 'faces/a.jpg') RETURNING id),
    face_b AS (INSERT INTO faces (profile_id, image_path) VALUES ($2, 'faces/b.jpg') RETURNING id),
    match AS (
        INSERT INTO matches (face_a_id, face_b_id, similarity_score)
        SELECT least(face_a.id, face_b.id), greatest(face_a.id, face_b.id), .9 FROM face_a, face_b
        RETURNING id
    )
    INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id) SELECT $1, $2, id FROM match
    RETURNING id
"""


async def add_user(database: Database, name: str = "Ada") -> UUID:
    """A profile; returns its id."""
    profile: UUID = await database.fetchval(_PROFILE, name)
    return profile


async def connect(database: Database, profile: UUID, other: UUID) -> UUID:
    """An active connection of two profiles by a match of new faces; returns its id."""
    connection: UUID = await database.fetchval(_CONNECTION, profile, other)
    return connection


async def want_texts(database: Database, *profiles: UUID) -> None:
    """Switch texts on, for everybody and for these users."""
    await database.execute("UPDATE system_settings SET value = 'true' WHERE key = 'text_generation'")
    await database.execute(
        "UPDATE profiles SET text_generation = true WHERE id = ANY($1::uuid[])", list(profiles)
    )
