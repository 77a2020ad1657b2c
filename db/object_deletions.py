"""Pictures whose row was deleted. They are removed from the storage at once or, after a failure, later.

Triggers write the table in the transaction that deletes the row, so that a crash at any point leaves either
the row or the record. The deleting process removes the picture at once; match workers remove what is left.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Sequence

from db.pool import Database
from db.queries import sql
from semblance.errors import BadInputError, DatabaseError, StorageError
from semblance.picture_tables import PictureTable
from semblance.storage.locations import original_of
from semblance.storage.pictures import other_key, remove_picture
from semblance.storage.store import Storage

_BATCH = 100
"""Pictures claimed together; the storage removes them before their claim ends."""

_AT_ONCE = 16
"""Requests to the storage at the same time."""

logger = logging.getLogger(__name__)


class ObjectDeletions:
    """The table `object_deletions`. Every method raises DatabaseError unless it says otherwise."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_deleted(self, key: str) -> bool:
        """Whether the picture with this key is waiting to be removed; for a copy, also whether its original
        is."""
        original = original_of(key)
        names = [key] if original is None else [key, original.path]
        return bool(await self._database.fetchval(sql.is_deleted, names))

    async def finish(self, storage: Storage, keys: Sequence[str]) -> int:
        """Remove those of the pictures that are recorded as deleted; returns how many.

        A picture that a row still names stays. Raises nothing: a failed removal is tried again later.
        """
        try:
            found = await self._recorded(storage, keys)
        except DatabaseError as exc:
            logger.warning("pictures are removed later: %s", exc.message)
            return 0
        turns = asyncio.Semaphore(_AT_ONCE)

        async def removed(key: str, named_by: PictureTable | None) -> bool:
            try:
                async with turns:
                    await remove_picture(storage, named_by, key)
            except StorageError as exc:
                logger.warning("a picture is removed later: %s", exc.message)
                return False
            except BadInputError:
                # Nothing can be stored under an invalid key.
                return True
            return True

        gone = await asyncio.gather(*itertools.starmap(removed, found.items()))
        done = [key for key, is_gone in zip(found, gone, strict=True) if is_gone]
        failed = found.keys() - set(done)
        try:
            if failed:
                await self._database.execute(sql.postpone_deletions, sorted(failed))
            return len(await self._database.fetch(sql.finish_deletions, done)) if done else 0
        except DatabaseError as exc:
            logger.warning("pictures are removed a second time: %s", exc.message)
            return 0

    async def _recorded(self, storage: Storage, keys: Sequence[str]) -> dict[str, PictureTable | None]:
        """The keys that are recorded as deleted, each with the table whose row named it. A copy and its
        original are one picture: it stays as long as a row names either."""
        found = {
            row["key"]: row["named_by"] for row in await self._database.fetch(sql.recorded_deletions, keys)
        }
        others = {key: other_key(storage, table, key) for key, table in found.items()}
        asked = [other for other in others.values() if other is not None]
        named = (
            {row["key"] for row in await self._database.fetch(sql.named_pictures, asked)} if asked else set()
        )
        return {key: table for key, table in found.items() if others[key] not in named}

    async def discard(self, storage: Storage, key: str) -> None:
        """Remove a picture that will have no row. Raises nothing: if it cannot be recorded, it is an orphan,
        which the sweep finds."""
        try:
            await self._database.execute(sql.record_deletions, [key])
        except DatabaseError as exc:
            logger.warning("a picture is left for the sweep: %s", exc.message)
        await self.finish(storage, [key])

    async def finish_folder(self, storage: Storage, folder: str) -> None:
        """Try to remove all recorded pictures of a folder of the storage, due or not, before a job stores
        pictures there again under the same keys."""
        last = ""
        while rows := await self._database.fetch(sql.pending_deletions, f"{folder}/", last, _BATCH):
            keys = [row["key"] for row in rows]
            await self.finish(storage, keys)
            last = keys[-1]

    async def drain(self, storage: Storage) -> int:
        """Remove all pictures that are due; returns how many. Several processes may do so at the same
        time."""
        removed = 0
        await self._database.execute(sql.spare_named_pictures)
        while keys := [row["key"] for row in await self._database.fetch(sql.claim_deletions, _BATCH)]:
            removed += await self.finish(storage, keys)
        return removed
