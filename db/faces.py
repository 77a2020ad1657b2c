"""Users' faces: one photo each, and the attributes of its largest face."""

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
from semblance.tracing import traceparent
from semblance.types import Gender


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRow(AnalyzedRow):
    """A face to be stored.

    image_path: key of the picture, which is already stored. image_hash: MD5 of the file in hex, to recognise
    the same file; not for security.
    """

    id: UUID
    profile_id: UUID
    image_path: str
    image_hash: str
    gender: Gender


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face as shown in the list of a user's faces."""

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
        """Count an attempt to upload a photo, before any work is done for it. Returns the day it is counted
        for.

        Raises DuplicatePictureError if the user already has the photo, QuotaExceededError if the day's limit
        is reached; neither attempt is counted.
        """
        return await quotas.take_upload(self._database, profile_id, image_hash)

    async def forget_upload(self, profile_id: UUID, day: date) -> None:
        """Stop counting an attempt of that day that failed through no fault of the user."""
        await quotas.give_back(self._database, profile_id, "photo_upload", day)

    async def add(self, row: FaceRow) -> AddedFace:
        """Store a face and make it its user's default; all or nothing.

        Raises DuplicatePictureError if the user already has the photo; nothing is stored then. Raises
        NotFoundError if somebody has deleted the face meanwhile. After any other error the outcome is
        unknown, because the connection may break while the server commits. The face is on disk when this
        returns, and others may see it before.
        """
        columns = [getattr(row, name) for name in _COLUMNS]
        created_at = await self._database.fetchval(sql.insert_face, *columns, traceparent())
        if created_at is None:
            raise DuplicatePictureError
        job_id: UUID | None = await self._database.fetchval(sql.stored_match_job, row.id)
        if job_id is None:
            raise NotFoundError("This photo has just been deleted.")
        return AddedFace(created_at, job_id)

    async def page(
        self, profile_id: UUID, *, limit: int, after: ByTime | None = None
    ) -> CountedPage[StoredFace, ByTime]:
        """The user's faces, newest first. after: the `next` of the previous page."""
        rows = await self._database.fetch(sql.list_faces, profile_id, *(after or (None, None)), limit + 1)
        shown, more = cut_page(rows, limit, "created_at")
        total = int(await self._database.fetchval(sql.count_faces, profile_id))
        return CountedPage([StoredFace(**row) for row in shown], more, total)

    async def delete(self, profile_id: UUID, face_id: UUID) -> list[str]:
        """Delete a user's face and everything that depends on it: matches with their reactions, babies,
        connections and notifications, celebrity matches, match jobs. The newest remaining face becomes the
        default.

        Returns the keys of the pictures that no row names any more. Raises NotFoundError if the user has no
        such face.
        """
        async with self._database.transaction() as connection:
            # In the order in which others lock them, who would deadlock otherwise. The profile is locked
            # because two deletions could each make the other's face the default; face and matches, so that no
            # match or baby is added after the list of keys was made.
            await connection.execute(sql.lock_profile, profile_id)
            await connection.execute(sql.lock_match_jobs_of_face, face_id, profile_id)
            key = await connection.fetchval(sql.lock_face, face_id, profile_id)
            if key is None:
                raise NotFoundError("You have no face with this id.")
            matches = [row["id"] for row in await connection.fetch(sql.lock_matches_of_face, face_id)]
            await connection.execute(sql.lock_connections_of_matches, matches)
            babies = await connection.fetch(sql.baby_keys_of_matches, matches)
            await connection.execute(sql.delete_notifications_of_matches, matches)
            await connection.execute(sql.delete_face, face_id)
            await connection.execute(sql.default_to_newest_face, profile_id)
        return [key, *(row["key"] for row in babies)]
