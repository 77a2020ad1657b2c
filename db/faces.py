"""Users' faces: one picture each, with its largest face described."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, datetime
from uuid import UUID

from db import quotas
from db.analyzed import AnalyzedRow
from db.pages import ByTime, CountedPage, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import DuplicatePictureError, NotFoundError
from semblance.types import Gender


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRow(AnalyzedRow):
    """A face to be stored.

    image_path: key of the picture, which is stored already. image_hash: MD5 of the file in hex; it finds the
    same picture again and protects nothing.
    """

    id: UUID
    profile_id: UUID
    image_path: str
    image_hash: str
    gender: Gender


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face as its list shows it."""

    id: UUID
    image_path: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AddedFace:
    """A face that was just stored, and the job that finds its matches."""

    created_at: datetime
    job_id: UUID


_COLUMNS = tuple(field.name for field in fields(FaceRow))


class Faces:
    """The table `faces`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin_upload(self, profile_id: UUID, image_hash: str) -> date:
        """Count an attempt to upload a picture, before the work that it makes; returns the day that it
        is counted for.

        Raises DuplicatePictureError if the user has the picture by now, QuotaExceededError if the day's
        limit is reached; neither is counted.
        """
        if await self._database.fetchval(sql.user_has_picture, profile_id, image_hash):
            raise DuplicatePictureError
        async with self._database.transaction() as connection:
            return await quotas.take(connection, profile_id, "photo_upload")

    async def forget_upload(self, profile_id: UUID, day: date) -> None:
        """No longer count an attempt of that day, which did not fail by its user's fault."""
        await quotas.give_back(self._database, profile_id, "photo_upload", day)

    async def add(self, row: FaceRow) -> AddedFace:
        """Store a face and make it its user's default; all or nothing.

        Raises DuplicatePictureError if the user has the picture. After it nothing is stored; after other
        errors that is not known, since the connection may break while the server commits.
        """
        async with self._database.transaction() as connection:
            created_at = await connection.fetchval(
                sql.insert_face, *(getattr(row, name) for name in _COLUMNS)
            )
            if created_at is None:
                raise DuplicatePictureError
            await connection.execute(sql.make_face_default, row.profile_id, row.id)
            job_id = await connection.fetchval(sql.match_job_of_face, row.id)
        return AddedFace(created_at, job_id)

    async def page(
        self, profile_id: UUID, *, limit: int, after: ByTime | None = None
    ) -> CountedPage[StoredFace, ByTime]:
        """The user's faces, newest first. after: the `next` of the page before."""
        rows = await self._database.fetch(sql.list_faces, profile_id, *(after or (None, None)), limit + 1)
        shown, more = cut_page(rows, limit, "created_at")
        total = int(await self._database.fetchval(sql.count_faces, profile_id))
        return CountedPage([StoredFace(**row) for row in shown], more, total)

    async def delete(self, profile_id: UUID, face_id: UUID) -> list[str]:
        """Delete a user's face and all that hangs on it: matches with their reactions, babies, connections
        and notifications, celebrity matches, jobs. The newest remaining face becomes the default.

        Returns the keys of the pictures that no row names any more. Raises NotFoundError unless the face is
        there and the user's.
        """
        async with self._database.transaction() as connection:
            # The profile, because of two deletions each could make the other's face the default. Face and
            # matches, so that no match and no baby comes into being behind the list of keys.
            await connection.execute(sql.lock_profile, profile_id)
            key = await connection.fetchval(sql.lock_face, face_id, profile_id)
            if key is None:
                raise NotFoundError("You have no such face.")
            matches = [row["id"] for row in await connection.fetch(sql.lock_matches_of_face, face_id)]
            babies = await connection.fetch(sql.baby_keys_of_matches, matches)
            await connection.execute(sql.delete_notifications_of_matches, matches)
            await connection.execute(sql.delete_face, face_id)
            await connection.execute(sql.default_to_newest_face, profile_id)
        return [key, *(row["key"] for row in babies)]
