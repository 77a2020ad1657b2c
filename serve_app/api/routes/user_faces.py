"""A user's own faces: upload, list, delete."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, status

from db.faces import FaceRow
from semblance.errors import (
    DatabaseError,
    DuplicatePictureError,
    ImageTooLargeError,
    NoFaceError,
    SeveralFacesError,
    StorageError,
    UnreadableImageError,
)
from semblance.storage.pictures import full_key, put_picture
from serve_app.api.cursors import Cursor
from serve_app.api.deadline import deadline_has_passed
from serve_app.api.identity import CurrentUser, current_user
from serve_app.api.links import InjectedLinks
from serve_app.api.pictures import PICTURE_FORM, Picture
from serve_app.api.responses import COMPUTE_ERRORS, QUOTA_ERROR, errors
from serve_app.api.schemas.user_faces import FaceList, FaceSummary, UploadAnswer
from serve_app.api.services import Injected, Services

router = APIRouter(prefix="/faces", tags=["faces"])

logger = logging.getLogger(__name__)


_forgetting: set[asyncio.Task[None]] = set()
"""What outlives its request, held until it ends."""


async def count_upload(
    request: Request, user: CurrentUser, picture: Picture, services: Injected
) -> AsyncIterator[str]:
    """Count the upload against the daily limit; gives the file's hash, by which it is known again.

    Counted before the work, so that no parallel attempt and no closed connection makes work for free. What
    fails by a fault of ours, the deadline among them, is not counted in the end.
    """
    image_hash = await asyncio.to_thread(_hash, picture)
    day = await services.db.faces.begin_upload(user.id, image_hash)
    try:
        yield image_hash
    except (
        DuplicatePictureError,
        NoFaceError,
        SeveralFacesError,
        UnreadableImageError,
        ImageTooLargeError,
    ):
        raise
    except asyncio.CancelledError:
        # Of a client that leaves, the upload stays counted.
        if deadline_has_passed(request.scope):
            await _forget_upload(services, user.id, day)
        raise
    except Exception:
        await _forget_upload(services, user.id, day)
        raise


async def _forget_upload(services: Services, user_id: UUID, day: date) -> None:
    """No longer count an upload, also where the request is cancelled meanwhile."""

    async def forget() -> None:
        try:
            await services.db.faces.forget_upload(user_id, day)
        except DatabaseError as exc:
            logger.warning("an upload that failed stays counted: %s", exc.message)

    task = asyncio.create_task(forget())
    _forgetting.add(task)
    task.add_done_callback(_forgetting.discard)
    await asyncio.shield(task)


CountedUpload = Annotated[str, Depends(count_upload)]


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={**COMPUTE_ERRORS, **QUOTA_ERROR},
    openapi_extra=PICTURE_FORM,
    # Before the picture is received, which is not done for somebody unknown.
    dependencies=[Depends(current_user)],
)
async def upload_face(
    user: CurrentUser, picture: Picture, image_hash: CountedUpload, services: Injected, links: InjectedLinks
) -> UploadAnswer:
    """A photo of the user, which becomes their default face; matches are looked for in the background.

    Of several faces the largest is taken. The answer is 400 without a face and for a photo uploaded
    before, 429 over the daily limit. Against that limit count all photos that were looked at, so also those
    that cannot be read or show no face, and copies of one photo sent at the same time; a photo uploaded
    before does not count. Bodies as of `POST /extract-embedding` are taken, too.
    """
    detection, described = await services.faces.describe(picture, 1)
    if not described:
        raise NoFaceError
    if detection.found > 1 and services.settings.refuse_several_faces:
        raise SeveralFacesError(f"The photo shows {detection.found} faces. Upload one of yourself alone.")
    face_id = uuid.uuid4()
    key = full_key(f"faces/{user.id}/{face_id}")
    stored = await services.faces.render(picture)
    # The picture before its row: what a crash leaves between is a picture without a row, which
    # `semblance storage sweep` removes, and never a row without its picture.
    try:
        await put_picture(services.storage, key, stored)
    except StorageError:
        await services.db.object_deletions.discard(services.storage, key)
        raise
    row = FaceRow.of(
        described[0],
        services.model.digest,
        scale=stored.scale,
        id=face_id,
        profile_id=user.id,
        image_path=key,
        image_hash=image_hash,
        gender=described[0].attributes.gender,
    )
    try:
        added = await services.db.faces.add(row)
    except DuplicatePictureError:
        # Only here is it certain that there is no row: where the connection breaks, there may be one.
        await services.db.object_deletions.discard(services.storage, key)
        raise
    return UploadAnswer(
        id=face_id,
        image_url=links.picture(key, "faces"),
        feed_url=links.feed(key, "faces"),
        thumbnail_url=links.thumbnail(key, "faces"),
        created_at=added.created_at,
        job_id=added.job_id,
        faces_found=detection.found,
        note=_note(detection.found),
    )


@router.get("", responses=errors(400))
async def list_faces(
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100, description="At most this many.")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=200, description="The `next_cursor` of the page before.")
    ] = None,
) -> FaceList:
    """The user's faces, newest first."""
    after = None if cursor is None else Cursor.decode(cursor)
    faces = await services.db.faces.page(
        user.id, limit=limit + 1, before=None if after is None else (after.time, after.id)
    )
    shown = faces[:limit]
    return FaceList(
        faces=[
            FaceSummary(
                id=face.id,
                image_url=links.picture(face.image_path, "faces"),
                feed_url=links.feed(face.image_path, "faces"),
                thumbnail_url=links.thumbnail(face.image_path, "faces"),
                created_at=face.created_at,
            )
            for face in shown
        ],
        total=await services.db.faces.count(user.id),
        next_cursor=Cursor(shown[-1].created_at, shown[-1].id).encode() if len(faces) > limit else None,
    )


@router.delete("/{face_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_face(face_id: UUID, user: CurrentUser, services: Injected) -> None:
    """Delete a face with its picture and its matches, and what came of these; the newest remaining face
    becomes the default."""
    keys = await services.db.faces.delete(user.id, face_id)
    await services.db.object_deletions.finish(services.storage, keys)


def _hash(picture: bytes) -> str:
    return hashlib.md5(picture, usedforsecurity=False).hexdigest()


def _note(found: int) -> str | None:
    return None if found == 1 else f"The photo shows {found} faces; the largest was taken."
