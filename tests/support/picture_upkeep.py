"""What the tests of upkeep of the picture store look at: the keys that rows name, and the files there are."""

from __future__ import annotations

from db.pool import Database
from semblance.storage.store import Storage


async def named_keys(database: Database) -> list[str]:
    """The keys and addresses that rows name, sorted."""
    query = (
        "SELECT image_path FROM faces UNION ALL SELECT image_path FROM celebrities"
        " UNION ALL SELECT image_url FROM babies ORDER BY 1"
    )
    return [row["image_path"] for row in await database.fetch(query)]


async def stored_keys(storage: Storage) -> list[str]:
    """The keys of all files in the store, folder by folder."""
    return [key for folder in ("babies", "celebrities", "faces", "old") for key in await storage.keys(folder)]
