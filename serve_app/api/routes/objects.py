"""Pictures of the local object store, by signed URL. A bucket serves its own pictures."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from semblance.errors import ForbiddenError, NotFoundError
from semblance.storage.pictures import picture_of
from serve_app.api.dependencies import Injected, InjectedCopies
from serve_app.api.picture_response import picture_response
from serve_app.api.responses import errors

router = APIRouter(tags=["pictures"])

_GONE = "This picture no longer exists."

_IN_BUCKET = timedelta(minutes=15)
"""How long a bucket's URL that is made for one request is valid. A client that keeps the answer, for
`_KEPT_S` seconds, may use it until then."""
_KEPT_S = 600

_PICTURE: dict[str, Any] = {"content": {"image/*": {}}}


@router.get(
    "/objects/{key:path}",
    response_class=Response,
    responses={
        **errors(403, 404, 416, 422),
        200: _PICTURE,
        206: {**_PICTURE, "description": "The requested range."},
        304: {"description": "The client already has it."},
        307: {"description": "It is in a bucket."},
    },
)
async def read_object(
    key: str,
    *,
    request: Request,
    services: Injected,
    copies: InjectedCopies,
    expires: Annotated[int, Query(description="Unix time at which the URL expires.")],
    signature: Annotated[str, Query(max_length=128, description="HMAC-SHA256 of key and expiry.")],
) -> Response:
    """One picture. The signature in the URL is the permission, until the picture is deleted.

    An adopted picture is copied at the first request for it: only its pixels are kept.
    """
    storage = services.storage
    if not storage.verify(key, expires, signature):
        raise ForbiddenError("This link is not valid or has expired.")
    # The file may outlive its row while the store is out of order.
    if await services.db.object_deletions.is_deleted(picture_of(key)):
        raise NotFoundError(_GONE)
    file = storage.local_file(key)
    if file is None:
        if not await storage.exists(key):
            await copies.make(key)
        return RedirectResponse(
            storage.bucket_url(key, _IN_BUCKET), headers={"Cache-Control": f"private, max-age={_KEPT_S}"}
        )
    found = await asyncio.to_thread(storage.local_stat, file)
    if found is None:
        await copies.make(key)
        found = await asyncio.to_thread(storage.local_stat, file)
    if found is None:
        raise NotFoundError(_GONE)
    return picture_response(request, file, found, expires - int(time.time()))
