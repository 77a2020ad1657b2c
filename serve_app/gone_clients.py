"""Clients that leave while Ray Serve's proxy hands on what they send."""

from __future__ import annotations

from typing import Final

from ray.exceptions import RayError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LEFT: Final[Message] = {"type": "http.disconnect"}


class GoneClientMiddleware:
    """Tells the application of a client that has left as an HTTP server does.

    Serve asks its proxy for each part of a body. If that is cancelled because the client left, or if the
    proxy died with the connection, Serve raises what Ray says of it, which looks like a fault of ours.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left: Message | None = None

        async def receive_or_leave() -> Message:
            nonlocal left
            if left is None:
                try:
                    return await receive()
                except RayError:
                    # The code is that of a socket without a closing frame (RFC 6455, section 7.1.5).
                    is_socket = scope["type"] == "websocket"
                    left = {"type": "websocket.disconnect", "code": 1006} if is_socket else _LEFT
            return left

        await self._app(scope, receive_or_leave, send)
