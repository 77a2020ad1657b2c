"""A stored picture as an HTTP file: validators, ranges, and how long it may be kept."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from serve_app.api.errors import error_response

_CHUNK: Final = 1024 * 1024
"""Bytes sent at a time: most pictures are one message from the replica to the proxy."""

_RANGE: Final = re.compile(r"bytes=(\d{1,18})?-(\d{1,18})?")

_CONDITIONS: Final = StaticFiles(check_dir=False)


def picture_response(request: Request, file: Path, found: os.stat_result, seconds: int) -> Response:
    """The answer to a request for a picture that may be kept for `seconds`: 200, 206, 304 or 416.

    Only the client itself may keep it, since the link ends with the deletion of the picture; the picture
    never changes.
    """
    response: Response = _PictureFile(file, stat_result=found)
    if _CONDITIONS.is_not_modified(response.headers, request.headers):
        response = NotModifiedResponse(response.headers)
    response.headers["Cache-Control"] = f"private, max-age={max(seconds, 0)}, immutable"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class _PictureFile(FileResponse):
    """Starlette's file, whose refusals have the contract's shape. Several ranges and invalid ones are
    ignored, as RFC 9110, section 14.2, allows."""

    chunk_size = _CHUNK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_range(Headers(scope=scope).get("range", "")):
            headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
            scope = {**scope, "headers": headers}
        refused = False

        async def in_shape(message: Message) -> None:
            nonlocal refused
            if message.get("status") == 416:
                refused = True
                size = Headers(raw=message["headers"])["content-range"]
                answer = error_response(
                    416,
                    "The picture ends before this range begins.",
                    "range_not_satisfiable",
                    headers={"Content-Range": size},
                )
                await answer(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, in_shape)


def _is_range(text: str) -> bool:
    found = _RANGE.fullmatch(text)
    if found is None or not any(found.groups()):
        return False
    first, last = found.groups()
    return first is None or last is None or int(first) <= int(last)
