"""From a user's photo to a stored face: counted, analyzed, stored, and queued to be matched."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from db.faces import FaceRow
from db.repositories import Repositories
from deployments.clients import FaceClient
from semblance.errors import (
    DatabaseError,
    DuplicatePictureError,
    ImageTooLargeError,
    NoFaceError,
    NotFoundError,
    SeveralFacesError,
    UnreadableImageError,
)
from semblance.settings import Settings
from semblance.storage.pictures import full_key
from semblance.storage.store import Storage
from semblance.types import AnalyzedFace, ModelInfo
from serve_app.picture_rows import PictureRows

logger = logging.getLogger(__name__)

_COUNTED = (
    DuplicatePictureError,
    NoFaceError,
    SeveralFacesError,
    UnreadableImageError,
    ImageTooLargeError,
    NotFoundError,
)
"""Errors of the photo itself, and its deletion before the answer: the work was done, so the upload stays
counted."""


@dataclass(frozen=True, slots=True)
class UploadedFace:
    """A face that was just stored.

    image_path: storage key of its picture. job_id: the match job that looks for its matches. faces_found: how
    many faces the photo shows, of which this is the largest.
    """

    id: UUID
    image_path: str
    created_at: datetime
    job_id: UUID
    faces_found: int


class FaceUploads:
    """Stores the faces of uploaded photos."""

    def __init__(
        self, settings: Settings, model: ModelInfo, faces: FaceClient, storage: Storage, db: Repositories
    ) -> None:
        self._refuse_several = settings.refuse_several_faces
        self._model = model
        self._client = faces
        self._faces = db.faces
        self._pictures = PictureRows(storage, db.object_deletions)
        self._forgetting: set[asyncio.Task[None]] = set()

    async def add(self, profile_id: UUID, photo: bytes, *, timed_out: Callable[[], bool]) -> UploadedFace:
        """Store the largest face of a photo, and make it its user's default.

        Args:
            photo: the encoded file.
            timed_out: whether the work is cancelled because it takes too long, and not because the client
            left.

        Raises DuplicatePictureError for a photo that the user has uploaded before, QuotaExceededError,
        NoFaceError, SeveralFacesError if the settings refuse such photos, NotFoundError if the user has
        deleted the face already, StorageError, DatabaseError, and what the face client raises.
        """
        image_hash = await asyncio.to_thread(_md5, photo)
        async with self._counted(profile_id, image_hash, timed_out):
            detection, faces = await self._client.analyze_photo(photo, 1)
            if not faces:
                raise NoFaceError
            if detection.found > 1 and self._refuse_several:
                raise SeveralFacesError(
                    f"The photo shows {detection.found} faces. Upload one of yourself alone."
                )
            return await self._store(profile_id, photo, image_hash, faces[0], detection.found)

    async def _store(
        self, profile_id: UUID, photo: bytes, image_hash: str, face: AnalyzedFace, found: int
    ) -> UploadedFace:
        face_id = uuid.uuid4()
        picture = await self._client.render(photo)
        row = FaceRow.of(
            face,
            self._model.digest,
            scale=picture.scale,
            id=face_id,
            profile_id=profile_id,
            image_path=full_key(f"faces/{profile_id}/{face_id}"),
            image_hash=image_hash,
            gender=face.attributes.gender,
        )
        added = await self._pictures.add(row.image_path, picture, lambda: self._faces.add(row))
        return UploadedFace(face_id, row.image_path, added.created_at, added.job_id, found)

    @asynccontextmanager
    async def _counted(
        self, profile_id: UUID, image_hash: str, timed_out: Callable[[], bool]
    ) -> AsyncIterator[None]:
        """Count the upload against the daily limit before the work, so that neither parallel attempts nor
        closed connections make work for free. An upload that fails by our fault, including the deadline, is
        not counted in the end."""
        day = await self._faces.begin_upload(profile_id, image_hash)
        try:
            yield
        except _COUNTED:
            raise
        except asyncio.CancelledError:
            # If the client has left, the upload stays counted.
            if timed_out():
                await self._forget(profile_id, day)
            raise
        except Exception:
            await self._forget(profile_id, day)
            raise

    async def _forget(self, profile_id: UUID, day: date) -> None:
        """No longer count an upload, even if the request is cancelled meanwhile."""

        async def forget() -> None:
            try:
                await self._faces.forget_upload(profile_id, day)
            except DatabaseError as exc:
                logger.warning("an upload that failed stays counted: %s", exc.message)

        task = asyncio.create_task(forget())
        # Held until it ends: it may outlive its request.
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)
        await asyncio.shield(task)


def _md5(photo: bytes) -> str:
    """The hash that recognizes the same file; not for security."""
    return hashlib.md5(photo, usedforsecurity=False).hexdigest()
