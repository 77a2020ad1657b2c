"""Pictures of the local object store, by signed URL; a bucket serves its own."""

from __future__ import annotations

import mimetypes
from typing import Annotated

from fastapi import APIRouter, Query, Response

from semblance.errors import ForbiddenError
from serve_app.api.responses import errors
from serve_app.api.services import Injected

router = APIRouter(tags=["pictures"])


@router.get(
    "/objects/{key:path}",
    response_class=Response,
    responses={**errors(403, 404, 422), 200: {"content": {"image/*": {}}}},
)
async def read_object(
    key: str,
    services: Injected,
    expires: Annotated[int, Query(description="Unix time after which the URL is void.")],
    signature: Annotated[str, Query(max_length=128, description="HMAC-SHA256 of key and expiry.")],
) -> Response:
    """One picture; the signature in the URL is the permission."""
    if not services.storage.verify(key, expires, signature):
        raise ForbiddenError("This link is not valid or has expired.")
    data = await services.storage.get(key)
    media_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response(data, media_type=media_type, headers=headers)
