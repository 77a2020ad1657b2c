"""Rows for the tests of texts that are embedded."""

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


async def want_messages_found(database: Database, *profiles: UUID) -> None:
    """Switch the search of messages by meaning on, for everybody and for these users."""
    await database.execute("UPDATE system_settings SET value = 'true' WHERE key = 'message_search'")
    await database.execute(
        "UPDATE profiles SET message_search = true WHERE id = ANY($1::uuid[])", list(profiles)
    )


async def say(database: Database, chat: UUID, sender: UUID, content: str, kind: str = "text") -> UUID:
    """A message, as a client writes it; returns its id."""
    message: UUID = await database.fetchval(
        "INSERT INTO messages (connection_id, sender_id, content, message_type) VALUES ($1, $2, $3, $4)"
        " RETURNING id",
        chat,
        sender,
        content,
        kind,
    )
    return message
