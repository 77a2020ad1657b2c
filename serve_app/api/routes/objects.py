"""Pictures of the local object store, by signed URL; a bucket serves its own."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from semblance.errors import ForbiddenError, NotFoundError
from semblance.stored_pictures import picture_of
from serve_app.api.picture_response import picture_response
from serve_app.api.responses import errors
from serve_app.api.services import Injected

router = APIRouter(tags=["pictures"])

_PICTURE: dict[str, Any] = {"content": {"image/*": {}}}


@router.get(
    "/objects/{key:path}",
    response_class=Response,
    responses={
        **errors(403, 404, 416, 422),
        200: _PICTURE,
        206: {**_PICTURE, "description": "The range that was asked for."},
        304: {"description": "The client has it."},
    },
)
async def read_object(
    key: str,
    request: Request,
    services: Injected,
    expires: Annotated[int, Query(description="Unix time after which the URL is void.")],
    signature: Annotated[str, Query(max_length=128, description="HMAC-SHA256 of key and expiry.")],
) -> Response:
    """One picture; the signature in the URL is the permission, until the picture is deleted."""
    file = services.storage.local_file(key) if services.storage.verify(key, expires, signature) else None
    if file is None:
        raise ForbiddenError("This link is not valid or has expired.")
    # Its file may outlive the row, where the store is out of order.
    deleted = await services.db.object_deletions.is_deleted(picture_of(key))
    found = None if deleted else await asyncio.to_thread(services.storage.local_stat, file)
    if found is None:
        raise NotFoundError("There is no such picture any more.")
    return picture_response(request, file, found, expires - int(time.time()))
