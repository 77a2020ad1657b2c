"""Photos and rows for the tests of users' faces."""

from __future__ import annotations

from functools import cache
from uuid import UUID, uuid4

import httpx
from PIL import Image

from db.pool import Database
from tests.support.api import Api, User
from tests.support.photos import OBAMA_2, encoded


@cache
def _portrait() -> Image.Image:
    with Image.open(OBAMA_2) as image:
        image.thumbnail((320, 320))
        return image.convert("RGB")


def photo(number: int = 0, *, file_format: str = "JPEG") -> bytes:
    """One small portrait; a different file for each number."""
    # Files differ only by their comment: the picture is the same.
    return encoded(_portrait(), file_format, comment=f"number {number}".encode())


async def upload(api: Api, user: User, data: bytes) -> httpx.Response:
    """POST /api/faces as a browser does."""
    return await api.client.post("/api/faces", files={"file": ("me.jpg", data)}, headers=user.headers)


async def uploaded(api: Api, user: User, number: int = 0) -> UUID:
    """The id of a newly uploaded face."""
    answer = await upload(api, user, photo(number))
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


async def set_limit(database: Database, kind: str, limit: int) -> None:
    """Change a daily limit, as an admin does."""
    await database.execute(
        "UPDATE system_settings SET value = $2 WHERE key = $1", f"daily_{kind}_limit", limit
    )


async def add_match(database: Database, face: UUID, other: UUID) -> UUID:
    """A match of two faces; returns its id."""
    match = uuid4()
    await database.execute(
        "INSERT INTO matches (id, face_a_id, face_b_id, similarity_score) VALUES ($1, $2, $3, 0.8)",
        match, min(face, other), max(face, other),
    )  # fmt: skip
    return match


TABLES = (
    *(
        "profiles",
        "faces",
        "matches",
        "celebrities",
        "celebrity_matches",
        "reactions",
        "babies",
        "match_jobs",
    ),
    *("notifications", "mutual_connections", "messages", "user_daily_quotas", "generation_logs"),
)


async def row_counts(database: Database) -> dict[str, int]:
    """Rows of every non-empty table of the app."""
    counts = {table: await database.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}
    return {table: count for table, count in counts.items() if count}


async def tables_with(database: Database, *ids: UUID) -> list[str]:
    """Tables in which some row holds one of the ids in any column, without the events, which are kept for
    clients that return."""
    tables = await database.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'events'"
    )
    anywhere = "|".join(map(str, ids))
    return [
        name
        for (name,) in tables
        if await database.fetchval(f'SELECT count(*) FROM "{name}" AS t WHERE t::text ~ $1', anywhere)
    ]
