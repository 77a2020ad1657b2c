"""A user's own faces: upload, list, delete."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request, Security, status

from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.deadline import deadline_has_passed
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks, Photo, current_user
from serve_app.api.photos import PHOTO_FORM
from serve_app.api.responses import COMPUTE_ERRORS, QUOTA_ERROR, errors
from serve_app.api.topics import Topic
from serve_app.schemas.user_faces import FaceList, FaceSummary, UploadAnswer

router = Topic(prefix="/faces", tags=["faces"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    responses={**COMPUTE_ERRORS, **QUOTA_ERROR},
    openapi_extra=PHOTO_FORM,
    # Before the photo is received, which is not done for an unknown client.
    dependencies=[Security(current_user)],
)
async def upload_face(
    request: Request, user: CurrentUser, photo: Photo, services: Injected, links: InjectedLinks
) -> UploadAnswer:
    """Upload a photo of the user. It becomes their default face, and is matched in the background.

    If the photo shows several faces, the largest is used. The answer is 400 for a photo without a face or
    uploaded before, and 429 over the daily limit. Every photo that was analyzed counts towards that limit,
    including unreadable ones, those without a face, and copies of one photo sent at the same time. A photo
    uploaded before does not count. Bodies as for `POST /extract-embedding` are accepted, too.
    """
    face = await services.face_uploads.add(
        user.id, photo, timed_out=lambda: deadline_has_passed(request.scope)
    )
    urls = links.renditions(face.image_path, "faces")
    return UploadAnswer(
        id=face.id,
        image_url=urls.full,
        feed_url=urls.feed,
        thumbnail_url=urls.thumbnail,
        created_at=face.created_at,
        job_id=face.job_id,
        faces_found=face.faces_found,
        note=_note(face.faces_found),
    )


@router.get("", responses=errors(400))
async def list_faces(
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100, description="The maximum number of faces.")] = 100,
    cursor: Cursor = None,
) -> FaceList:
    """The user's faces, newest first."""
    page = await services.db.faces.page(user.id, limit=limit, after=place_by_time(cursor))
    return FaceList(
        faces=[
            FaceSummary(
                id=face.id,
                image_url=urls.full,
                feed_url=urls.feed,
                thumbnail_url=urls.thumbnail,
                created_at=face.created_at,
            )
            for face in page.items
            for urls in [links.renditions(face.image_path, "faces")]
        ],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )


@router.delete("/{face_id}", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def delete_face(face_id: UUID, user: CurrentUser, services: Injected) -> None:
    """Delete a face with its picture, its matches and all that belongs to them. The newest remaining face
    becomes the default."""
    keys = await services.db.faces.delete(user.id, face_id)
    await services.db.object_deletions.finish(services.storage, keys)


def _note(found: int) -> str | None:
    return None if found == 1 else f"The photo shows {found} faces; the largest was taken."
