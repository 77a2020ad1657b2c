"""What wraps every request: its id, and the limit on its size."""

from __future__ import annotations

import re
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semblance.errors import ImageTooLargeError
from semblance.logging import request_id_var
from serve_app.api.errors import error_response

SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestIdMiddleware:
    """Puts the request's id where errors and logs find it.

    Serve's proxy gives every request an `X-Request-ID`, the client's own where it sent one, and sets
    the header on the answer; an id that could forge log lines is replaced.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        token = request_id_var.set(given if SAFE_REQUEST_ID.fullmatch(given) else str(uuid.uuid4()))
        try:
            await self._app(scope, receive, send)
        finally:
            request_id_var.reset(token)


class BodyLimitMiddleware:
    """Refuses a body over `limit` bytes: by its Content-Length before a byte is read, else as soon as
    the limit is crossed."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > self._limit:
            response = error_response(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The request is larger than {self._limit} bytes.",
                ImageTooLargeError.code,
                headers={"Connection": "close"},
            )
            await response(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._limit:
                raise ImageTooLargeError(f"The request is larger than {self._limit} bytes.")
            return message

        await self._app(scope, counted, send)
