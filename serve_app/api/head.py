"""HEAD for every route that has GET."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadMiddleware:
    """Answers HEAD as GET would, without the body (RFC 9110, section 9.3.2).

    Routes know nothing of it, so the OpenAPI document has each operation once. An endless answer, such as a
    stream of events, ends with its first part.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        with anyio.CancelScope() as answering:

            async def without_body(message: Message) -> None:
                if message["type"] == "http.response.start":
                    await send(message)
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                elif message.get("more_body"):
                    answering.cancel()

            # GET alone has ranges (RFC 9110, section 14.2).
            headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
            await self._app({**scope, "method": "GET", "headers": headers}, receive, without_body)
