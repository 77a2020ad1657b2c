"""Which stored pictures have a row, and which rows have a picture.

The listing of a storage is copied into a temporary table, and the database compares it with all rows: neither
the listing nor the rows are ever in this process as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from db.copies import copy_records
from db.pool import Database
from db.queries import sql
from semblance.picture_tables import PictureTable
from semblance.storage.locations import original_of
from semblance.storage.pictures import picture_of
from semblance.storage.store import StoredObject

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class PictureRow:
    """A row that names a picture of the storage."""

    table: PictureTable
    id: UUID
    key: str


class Comparison:
    """The comparison of one listing with the rows, in one transaction; made by `compare_pictures`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def add(self, objects: Sequence[StoredObject]) -> None:
        """Add a part of the listing; each object once."""
        await copy_records(
            self._connection,
            "staged_objects",
            [(found.key, *_names(found.key), found.size, found.last_modified) for found in objects],
            ("key", "picture", "original", "size", "last_modified"),
        )

    async def count_named(self) -> int:
        """How many of the objects have a row. Call this once the listing is complete."""
        await self._connection.execute(sql.analyze_staged_objects)
        return int(await self._connection.fetchval(sql.count_named_objects))

    async def missing(self) -> AsyncIterator[list[PictureRow]]:
        """Rows whose picture is not in the listing, some at a time. Pictures on other hosts do not count."""
        async for records in _batches(self._connection, sql.rows_without_object):
            yield [PictureRow(**record) for record in records]

    async def still_there(self, rows: Sequence[PictureRow]) -> list[PictureRow]:
        """The rows that still exist."""
        found = await self._connection.fetch(sql.rows_still_there, [row.id for row in rows])
        present = {(record["table"], record["id"]) for record in found}
        return [row for row in rows if (row.table, row.id) in present]

    async def orphans(self, older_than: datetime) -> AsyncIterator[list[StoredObject]]:
        """Objects last changed before `older_than` that have no row, some at a time."""
        async for records in _batches(self._connection, sql.objects_without_row, older_than):
            yield [StoredObject(**record) for record in records]


def _names(key: str) -> tuple[str, str]:
    """The keys by which a row may name the picture of a file: its own, and its original's if it is a copy."""
    picture = picture_of(key)
    original = original_of(picture)
    return picture, picture if original is None else original.path


@asynccontextmanager
async def compare_pictures(database: Database) -> AsyncIterator[Comparison]:
    """An empty comparison. Raises DatabaseError, also while it is used."""
    async with database.transaction() as connection:
        await connection.execute(sql.stage_objects)
        yield Comparison(connection)


async def _batches(
    connection: asyncpg.Connection, query: str, *args: object
) -> AsyncIterator[list[asyncpg.Record]]:
    """The rows of a query through a cursor of the server."""
    cursor = await connection.cursor(query, *args)
    while records := await cursor.fetch(_BATCH):
        yield records
