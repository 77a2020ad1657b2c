"""The gallery as it is exported: each picture with what an ingestion takes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from db.audit import audit
from db.pool import Database
from db.queries import sql
from semblance.types import Gender

_PAGE = 500


@dataclass(frozen=True, slots=True)
class GalleryPicture:
    """A celebrity without what was measured. gender: as stated. person: whom it shows. image_hash: MD5 of the
    file that was ingested, in hex; None in adopted rows."""

    id: UUID
    name: str
    bio: str | None
    category: str | None
    gender: Gender | None
    person: UUID
    image_path: str
    image_hash: str | None


class GalleryExport:
    """Reads the whole gallery. Methods raise DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self) -> None:
        """Record that the gallery is exported."""
        async with self._database.transaction() as connection:
            await audit(connection, "gallery.export", "gallery")

    async def pictures(self) -> AsyncIterator[GalleryPicture]:
        """All pictures, in the order of their ids. Nothing is locked meanwhile: what is added or removed
        during the reading may or may not be among them."""
        last: UUID | None = None
        while rows := await self._database.fetch(sql.page_of_gallery, last, _PAGE):
            for row in rows:
                yield GalleryPicture(**row)
            last = rows[-1]["id"]
