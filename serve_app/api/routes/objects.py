"""Pictures of the local object store, by signed URL; a bucket serves its own, once they are there."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from semblance.errors import ForbiddenError, NotFoundError
from semblance.storage.pictures import picture_of
from serve_app.api.copies import Copies
from serve_app.api.picture_response import picture_response
from serve_app.api.responses import errors
from serve_app.api.services import Injected

router = APIRouter(tags=["pictures"])

_GONE = "There is no such picture any more."

_IN_BUCKET = timedelta(minutes=15)
"""How long a bucket's URL is valid that is made for one request; whoever kept the answer asks for it until
`_KEPT_S` seconds later."""
_KEPT_S = 600

_PICTURE: dict[str, Any] = {"content": {"image/*": {}}}


@router.get(
    "/objects/{key:path}",
    response_class=Response,
    responses={
        **errors(403, 404, 416, 422),
        200: _PICTURE,
        206: {**_PICTURE, "description": "The range that was asked for."},
        304: {"description": "The client has it."},
        307: {"description": "A bucket has it."},
    },
)
async def read_object(
    key: str,
    request: Request,
    services: Injected,
    expires: Annotated[int, Query(description="Unix time after which the URL is void.")],
    signature: Annotated[str, Query(max_length=128, description="HMAC-SHA256 of key and expiry.")],
) -> Response:
    """One picture; the signature in the URL is the permission, until the picture is deleted.

    One of the old system is copied when it is first asked for, without what its file carries besides pixels.
    """
    storage, copies = services.storage, cast(Copies, request.app.state.copies)
    if not storage.verify(key, expires, signature):
        raise ForbiddenError("This link is not valid or has expired.")
    # Its file may outlive the row, where the store is out of order.
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
