"""What wraps every request: its id, and the limit on its size."""

from __future__ import annotations

import logging
import uuid
from http import HTTPStatus

from fastapi.exceptions import ValidationException
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semblance.errors import ImageTooLargeError
from semblance.logging import SAFE_REQUEST_ID, request_id_var
from semblance.protocol import API_MARK
from serve_app.api.errors import error_response

logger = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Puts the request's id where errors and logs find it, and the API's mark on the answer.

    The gateway gives every request an `X-Request-ID`, the client's own where it sent one, and sets
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

        async def marked(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                MutableHeaders(scope=message)[API_MARK] = "1"
            await send(message)

        try:
            await self._app(scope, receive, marked)
        finally:
            request_id_var.reset(token)


class UnexpectedErrorMiddleware:
    """Logs an exception that no handler knows, and answers it in the contract's shape.

    Starlette's own handler of last resort runs outside of all middleware: its answer would have no request
    id, and a browser could not read it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception as exc:
            if isinstance(exc, ValidationException):
                # The rejected values may be anything, and are printed with the exception.
                for error in exc.errors():
                    error.pop("input", None)
            logger.exception("unexpected error")
            if started:
                # The client must see that the answer is incomplete.
                raise
            response = error_response(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "Something went wrong on our side; the request id finds it in the log.",
                "internal_error",
            )
            await response(scope, receive, send)


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
