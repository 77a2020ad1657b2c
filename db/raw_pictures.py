"""Pictures that are stored as they came, including the metadata of their files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from uuid import UUID

from db.pool import Database
from db.queries import sql
from semblance.picture_tables import PictureTable
from semblance.storage.locations import FULL_SUFFIX

_CLEAN = f"%{FULL_SUFFIX}"
_LIST: dict[PictureTable, str] = {
    "faces": sql.raw_faces,
    "celebrities": sql.raw_celebrities,
    "babies": sql.raw_babies,
}
_REPLACE: dict[PictureTable, str] = {
    "faces": sql.replace_face_picture,
    "celebrities": sql.replace_celebrity_picture,
    "babies": sql.replace_baby_picture,
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
    """Rows of three tables, which only the database's owner may change this way. Every method raises
    DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self) -> dict[PictureTable, int]:
        """How many there are by table, without tables that have none."""
        rows = await self._database.fetch(sql.count_raw_pictures, _CLEAN)
        return {row["table"]: row["number"] for row in rows if row["number"]}

    async def batches(self, tables: Iterable[PictureTable]) -> AsyncIterator[list[RawPicture]]:
        """All of these tables, some at a time, and each once, even if rows change meanwhile."""
        for table in tables:
            last = UUID(int=0)
            while rows := await self._database.fetch(_LIST[table], _CLEAN, last, _BATCH):
                yield [RawPicture(table, **row) for row in rows]
                last = rows[-1]["id"]

    async def replace(
        self,
        picture: RawPicture,
        key: str,
        landmarks_68: list[list[float]] | None,
        *,
        keep_old: bool = False,
    ) -> bool:
        """Let the row name another picture, and record the old one as deleted unless `keep_old`. False if the
        row has changed since it was read."""
        async with self._database.transaction() as connection:
            done = await connection.fetchval(
                _REPLACE[picture.table], picture.id, picture.key, picture.landmarks_68, key, landmarks_68
            )
            if done and keep_old:
                await connection.execute(sql.keep_replaced_picture, picture.key)
            return bool(done)
