"""Pictures that are stored as they came, with whatever their files carry besides pixels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from db.pool import Database
from db.queries import queries
from db.stored_pictures import PictureTable
from semblance.stored_pictures import FULL_SUFFIX

_CLEAN = f"%{FULL_SUFFIX}"
_COUNT = queries["count_raw_pictures"]
_LIST: dict[PictureTable, str] = {
    "faces": queries["raw_faces"],
    "celebrities": queries["raw_celebrities"],
    "babies": queries["raw_babies"],
}
_REPLACE: dict[PictureTable, str] = {
    "faces": queries["replace_face_picture"],
    "celebrities": queries["replace_celebrity_picture"],
    "babies": queries["replace_baby_picture"],
}

_BATCH = 100


@dataclass(frozen=True, slots=True)
class RawPicture:
    """A row and its picture. landmarks_68: as stored, 68 pairs [x, y] in pixels of that picture, or None."""

    table: PictureTable
    id: UUID
    key: str
    landmarks_68: list[list[float]] | None


class RawPictures:
    """Rows of three tables, which only the owner may change so. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self) -> int:
        """How many there are."""
        return int(await self._database.fetchval(_COUNT, _CLEAN))

    async def batches(self) -> AsyncIterator[list[RawPicture]]:
        """All of them, some at a time; each once, whatever becomes of it meanwhile."""
        for table, query in _LIST.items():
            last = UUID(int=0)
            while rows := await self._database.fetch(query, _CLEAN, last, _BATCH):
                yield [RawPicture(table, **row) for row in rows]
                last = rows[-1]["id"]

    async def replace(self, picture: RawPicture, key: str, landmarks_68: list[list[float]] | None) -> bool:
        """Let the row name another picture; the one it named is recorded as deleted. False where the row is
        no longer as it was read."""
        done = await self._database.fetchval(
            _REPLACE[picture.table], picture.id, picture.key, picture.landmarks_68, key, landmarks_68
        )
        return bool(done)
