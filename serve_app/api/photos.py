"""The photos of a request, as encoded bytes: files of a form, base64 in JSON, or the body itself."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any, Final, NamedTuple

from fastapi import Request
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from deployments.vision.parsing import ACCEPTED
from semblance.errors import BadInputError, ImageTooLargeError, OverloadedError, UnreadableImageError
from semblance.protocol import BODY_OVERHEAD
from semblance.sizes import byte_size
from serve_app.api.bodies import body_rules
from serve_app.limits import Upload

logger = logging.getLogger(__name__)

IN_MEMORY: Final = 1024 * 1024
"""Bytes of a body that are kept in memory while it arrives; a larger body goes to a temporary file."""

_CHUNK: Final = 1024 * 1024
_MOST_FILES: Final = 1000
"""Files that are told apart in a form of several photos. The routes accept fewer, and say how many."""
_FORM_TYPE: Final = "multipart/form-data"
_JSON_TYPE: Final = "application/json"

_FILE: Final[dict[str, Any]] = {"type": "string", "format": "binary", "description": f"{ACCEPTED}."}
_BASE64: Final[dict[str, Any]] = {
    "type": "string",
    "format": "byte",
    "description": "The same file in base64: either alphabet, with or without padding and line breaks. A "
    "data: URL is accepted, too.",
}

_FORM: dict[str, Any] = {
    _FORM_TYPE: {
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {"file": _FILE},
        }
    }
}
_JSON: dict[str, Any] = {
    _JSON_TYPE: {
        "schema": {
            "type": "object",
            "required": ["image_base64"],
            "properties": {"image_base64": _BASE64},
        },
        "example": {"image_base64": "/9j/4AAQSkZJRgABAQAAAQABAAD…"},
    }
}
_RAW: dict[str, Any] = {
    media: {"schema": {"type": "string", "format": "binary", "description": f"The file itself: {ACCEPTED}."}}
    for media in ("image/*", "application/octet-stream")
}
PHOTO_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {**_FORM, **_JSON, **_RAW}}}
"""OpenAPI of a body that FastAPI cannot describe by parameters: one of several content types."""
PHOTO_FORM: dict[str, Any] = {"requestBody": {"required": True, "content": _FORM}}
"""The same with the form alone, as the app's clients send it: openapi-python-client writes invalid code for
operations with several kinds of body."""
TWO_PHOTOS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["file_a", "file_b"],
                    "properties": {"file_a": _FILE, "file_b": _FILE},
                }
            },
            _JSON_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["image_a_base64", "image_b_base64"],
                    "properties": {"image_a_base64": _BASE64, "image_b_base64": _BASE64},
                },
                "example": {
                    "image_a_base64": "/9j/4AAQSkZJRgABAQAAAQABAAD…",
                    "image_b_base64": "iVBORw0KGgo…",
                },
            },
        },
    }
}
"""The same for two photos, which together may be as large as one."""


BATCH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "minItems": 1, "items": _FILE}},
                }
            },
            _JSON_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["images_base64"],
                    "properties": {"images_base64": {"type": "array", "minItems": 1, "items": _BASE64}},
                },
                "example": {"images_base64": ["/9j/4AAQSkZJRgABAQAAAQABAAD…", "iVBORw0KGgo…"]},
            },
        },
    }
}
"""The same for several photos, which together may be as large as one."""


class PhotoPair(NamedTuple):
    """Two encoded photos."""

    a: bytes
    b: bytes


@dataclass(frozen=True, slots=True)
class ReceivedPhoto:
    """A whole body that holds a photo, or two. content_type: one of those of `PHOTO_BODY`."""

    content_type: str
    headers: Headers
    body: SpooledTemporaryFile[bytes]

    async def read(self, limit: int) -> bytes:
        """The encoded photo, of at most `limit` bytes.

        Raises BadInputError if the body holds no photo, ImageTooLargeError for a larger one.
        """
        if self.content_type == _FORM_TYPE:
            [data] = await _from_form(self, ("file",))
        elif self.content_type == _JSON_TYPE:
            [data] = await asyncio.to_thread(_from_json, self.body, ("image_base64",))
        else:
            data = await asyncio.to_thread(self.body.read)
        check_size(data, limit)
        return data

    async def read_pair(self, limit: int) -> PhotoPair:
        """The two encoded photos of a form or JSON, each of at most `limit` bytes.

        Raises BadInputError if one is missing, ImageTooLargeError for a larger one.
        """
        if self.content_type == _FORM_TYPE:
            pair = PhotoPair(*await _from_form(self, ("file_a", "file_b")))
        else:
            names = ("image_a_base64", "image_b_base64")
            pair = PhotoPair(*await asyncio.to_thread(_from_json, self.body, names))
        for data in pair:
            check_size(data, limit)
        return pair

    async def read_batch(self, most: int) -> list[bytes]:
        """The encoded photos of a form or JSON, in order, 1 to `most`, of any size.

        Raises BadInputError if there are none, or too many.
        """
        if self.content_type == _FORM_TYPE:
            photos = await _all_from_form(self, "files")
        else:
            photos = await asyncio.to_thread(_all_from_json, self.body, "images_base64")
        if len(photos) > most:
            raise BadInputError(
                f"One call takes {most} photos; this one has {len(photos)}. Send several calls."
            )
        return photos


def photo_type(request: Request) -> str:
    """The content type of a request with a photo; raises UnreadableImageError for one that is not taken."""
    content_type = _content_type(request)
    if content_type not in {_FORM_TYPE, _JSON_TYPE, "application/octet-stream"} and not (
        content_type.startswith("image/")
    ):
        raise UnreadableImageError(
            "Send the picture as multipart/form-data field 'file', as JSON with 'image_base64', or by itself "
            "with its own content type, like image/jpeg."
        )
    return content_type


def pair_type(request: Request) -> str:
    """The same of a request with two photos."""
    return _form_or_json(
        request,
        "Send the two photos as multipart/form-data fields 'file_a' and 'file_b', or as JSON with "
        "'image_a_base64' and 'image_b_base64'.",
    )


def batch_type(request: Request) -> str:
    """The same of a request with several photos."""
    return _form_or_json(
        request,
        "Send the photos as multipart/form-data, each in a field 'files', or as JSON with a list "
        "'images_base64'.",
    )


def _form_or_json(request: Request, otherwise: str) -> str:
    content_type = _content_type(request)
    if content_type not in {_FORM_TYPE, _JSON_TYPE}:
        raise UnreadableImageError(otherwise)
    return content_type


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_size(data: bytes, limit: int) -> None:
    """Raise BadInputError for an empty photo, ImageTooLargeError for one of more than `limit` bytes."""
    if not data:
        raise BadInputError("The photo is empty.")
    if len(data) > limit:
        raise ImageTooLargeError(f"The photo is larger than {byte_size(limit)}.")


@asynccontextmanager
async def receive(
    request: Request, content_type: str, upload: Upload, max_image_bytes: int
) -> AsyncIterator[ReceivedPhoto]:
    """The body of a request, once all of it has arrived; `upload` counts its bytes.

    Raises OverloadedError if the disk is full, and what `upload` and the rules of bodies raise.
    """
    rules = body_rules(request)
    rules.is_json = content_type == _JSON_TYPE
    rules.limit = int(max_image_bytes * BODY_OVERHEAD)
    rules.arrived = upload.add
    body = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed below
    try:
        await _receive(request, body)
        upload.whole()
        yield ReceivedPhoto(content_type, request.headers, body)
    finally:
        # Closing tries once more to write what a full disk had no room for.
        with suppress(OSError):
            body.close()


async def _receive(request: Request, file: SpooledTemporaryFile[bytes]) -> None:
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > IN_MEMORY:
                await asyncio.to_thread(file.write, part)
            else:
                file.write(part)
        # Writes what is still buffered, too.
        file.seek(0)
    except OSError as exc:
        logger.exception("there is no room for a body of %d bytes", size)
        raise OverloadedError("There is no room to receive the photo; try again later.", 30) from exc


class _FormParser(MultiPartParser):
    # The form is in a file already; its parts are wanted in memory.
    spool_max_size = 2**31


async def _from_form(received: ReceivedPhoto, names: Sequence[str]) -> list[bytes]:
    """The files in the fields of these names."""
    async with _form_of(received, len(names)) as form:
        return [await _file(form.get(name), name) for name in names]


async def _all_from_form(received: ReceivedPhoto, name: str) -> list[bytes]:
    """The files in all fields of this name, at least one."""
    async with _form_of(received, _MOST_FILES) as form:
        files = form.getlist(name)
        return [await _file(file, name) for file in files] if files else [await _file(None, name)]


@asynccontextmanager
async def _form_of(received: ReceivedPhoto, max_files: int) -> AsyncIterator[FormData]:
    async def parts() -> AsyncIterator[bytes]:
        while chunk := received.body.read(_CHUNK):
            yield chunk

    stream = parts()
    try:
        form = await _FormParser(
            received.headers,
            stream,  # type: ignore[arg-type] # it is only iterated over
            max_files=max_files,
            max_fields=16,
            max_part_size=64 * 1024,
        ).parse()
    except MultiPartException as exc:
        raise BadInputError(f"The form cannot be read. {exc.message}") from exc
    except ValueError as exc:
        # The name of an unknown charset.
        raise BadInputError("The form is not valid multipart/form-data.") from exc
    try:
        yield form
    finally:
        await form.close()


async def _file(value: UploadFile | str | None, name: str) -> bytes:
    if not isinstance(value, UploadFile):
        raise BadInputError(f"No image provided: the form has no file in the field {name!r}.")
    return await value.read()


def _from_json(body: SpooledTemporaryFile[bytes], names: Sequence[str]) -> list[bytes]:
    """The files in the strings of these names."""
    document = _document(body)
    files = []
    for name in names:
        text = document.get(name)
        if not isinstance(text, str):
            raise BadInputError(f"No image provided: the JSON has no string {name!r}.")
        files.append(decode_base64(text, name))
    return files


def _all_from_json(body: SpooledTemporaryFile[bytes], name: str) -> list[bytes]:
    """The files in the list of this name, at least one."""
    texts = _document(body).get(name)
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadInputError(f"No image provided: the JSON has no list of strings {name!r}.")
    return [decode_base64(text, f"{name}[{number}]") for number, text in enumerate(texts)]


def _document(body: SpooledTemporaryFile[bytes]) -> dict[str, object]:
    """The object in a body; empty for any other JSON."""
    try:
        document = json.load(body)
    except (ValueError, RecursionError) as exc:
        raise BadInputError("The body is not valid JSON.") from exc
    return document if isinstance(document, dict) else {}


_WHITESPACE: Final = b" \t\r\n\f\v"
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: str, name: str = "image_base64") -> bytes:
    """The bytes of base64 text, with or without line breaks, in either alphabet, with or without padding,
    or as a data: URL. name: of the field, for errors.

    Raises BadInputError for anything else: other characters, padding that is too short or not at the end, an
    impossible length.
    """
    text = text.lstrip()
    if text[:5].lower() == "data:":
        text = text.partition(",")[2]
    try:
        digits = text.encode("ascii").translate(_TO_STANDARD, delete=_WHITESPACE)
        unpadded = digits.rstrip(b"=")
        padding = b"=" * (-len(unpadded) % 4)
        if len(digits) not in {len(unpadded), len(unpadded) + len(padding)}:
            raise BadInputError(f"{name!r} is not valid base64: its padding is wrong.")
        return base64.b64decode(unpadded + padding, validate=True)
    except (binascii.Error, UnicodeEncodeError) as exc:
        raise BadInputError(f"{name!r} is not valid base64.") from exc
