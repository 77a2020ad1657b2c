"""Rows for the tests of bios."""

from __future__ import annotations

from uuid import UUID

from db.pool import Database


async def switch_search_on(database: Database) -> None:
    """Switch the search for people on."""
    await database.execute("UPDATE system_settings SET value = 'true' WHERE key = 'profile_search'")


async def add_bio(database: Database, bio: str | None, school: str = "mit") -> UUID:
    """Somebody with a bio; returns the id."""
    profile: UUID = await database.fetchval(
        "INSERT INTO profiles (id, profile_type, name, school) VALUES (gen_random_uuid(), 'user', $1, $2)"
        " RETURNING id",
        f"Person of {school}",
        school,
    )
    await change_bio(database, profile, bio)
    return profile


async def change_bio(database: Database, profile: UUID, bio: str | None) -> None:
    """Let somebody say something else."""
    await database.execute("UPDATE profiles SET bio = $2 WHERE id = $1", profile, bio)
