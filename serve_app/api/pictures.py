"""The picture of a request: multipart `file` or JSON `image_base64`, as encoded bytes."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from deployments.vision.parsing import ACCEPTED
from semblance.errors import BadInputError, ImageTooLargeError, UnreadableImageError
from serve_app.api.services import Injected

_FORM: dict[str, Any] = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {
                "file": {
                    "type": "string",
                    "format": "binary",
                    "description": f"{ACCEPTED}.",
                }
            },
        }
    }
}
_JSON: dict[str, Any] = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["image_base64"],
            "properties": {
                "image_base64": {
                    "type": "string",
                    "format": "byte",
                    "description": "The same file in base64; a data: URL is accepted too.",
                }
            },
        },
        "example": {"image_base64": "/9j/4AAQSkZJRgABAQAAAQABAAD…"},
    }
}
PICTURE_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {**_FORM, **_JSON}}}
"""OpenAPI for a body that FastAPI cannot express by parameters: one of two content types."""
PICTURE_FORM: dict[str, Any] = {"requestBody": {"required": True, "content": _FORM}}
"""The same for a form alone, as the app's clients send it."""


async def read_picture(request: Request, services: Injected) -> bytes:
    """The encoded picture, its size within `max_image_bytes`.

    Raises BadInputError without a picture, UnreadableImageError for other content types,
    ImageTooLargeError.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == "multipart/form-data":
        data = await _from_form(request)
    elif content_type == "application/json":
        data = _from_json(await request.body())
    else:
        raise UnreadableImageError(
            "Send the picture as multipart/form-data field 'file' or as JSON with 'image_base64'."
        )
    if not data:
        raise BadInputError("The picture is empty.")
    if len(data) > services.settings.max_image_bytes:
        raise ImageTooLargeError(
            f"The picture has {len(data)} bytes; at most {services.settings.max_image_bytes} are accepted."
        )
    return data


Picture = Annotated[bytes, Depends(read_picture)]


async def _from_form(request: Request) -> bytes:
    async with request.form(max_files=1, max_fields=16) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadInputError("No image provided: the form has no file in the field 'file'.")
        return await file.read()


def _from_json(body: bytes) -> bytes:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadInputError("The body is not valid JSON.") from exc
    text = document.get("image_base64") if isinstance(document, dict) else None
    if not isinstance(text, str):
        raise BadInputError("No image provided: the JSON has no string 'image_base64'.")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadInputError("'image_base64' is not valid base64.") from exc
