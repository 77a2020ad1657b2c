"""Rows that name a picture: the picture is stored first, then its row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from db.object_deletions import ObjectDeletions
from semblance.errors import DatabaseError, ReferenceGoneError, SemblanceError
from semblance.storage.pictures import StoredPicture, put_picture
from semblance.storage.store import Storage

Row = TypeVar("Row")


class PictureRows:
    """Adds rows with their pictures.

    A crash in between leaves a picture without a row, which `semblance storage sweep` removes, and never a
    row without its picture.
    """

    def __init__(self, storage: Storage, deletions: ObjectDeletions) -> None:
        self._storage = storage
        self._deletions = deletions

    async def add(self, key: str, picture: StoredPicture, insert: Callable[[], Awaitable[Row]]) -> Row:
        """Store a picture under `key`, then insert its row; the picture is removed again if there is no row.

        Args:
            insert: inserts the row. A ReferenceGoneError, and any SemblanceError but a DatabaseError, means
            that it was not inserted.

        Raises StorageError, and what `insert` raises.
        """
        try:
            await put_picture(self._storage, key, picture)
            return await insert()
        except SemblanceError as exc:
            # Otherwise there may be a row: the connection may have broken while the server committed.
            if isinstance(exc, ReferenceGoneError) or not isinstance(exc, DatabaseError):
                await self._deletions.discard(self._storage, key)
            raise
