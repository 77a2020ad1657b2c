"""Clients that leave while Ray Serve's proxy hands on what they send."""

from __future__ import annotations

from typing import Final

from ray.exceptions import RayError, TaskCancelledError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semblance.errors import NotReadyError

_LEFT: Final[Message] = {"type": "http.disconnect"}


class GoneClientMiddleware:
    """Tells the application of a client that has left as an HTTP server does.

    Serve asks its proxy for each part of a body. If that is cancelled because the client left, Serve raises
    what Ray says of it, which looks like a fault of ours. If the proxy cannot be asked, the client may still
    be there: a request whose body is not complete is answered 503.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left: Message | None = None
        is_whole = False

        async def receive_or_leave() -> Message:
            nonlocal left, is_whole
            if left is None:
                try:
                    message = await receive()
                except RayError as exc:
                    # The code is that of a socket without a closing frame (RFC 6455, section 7.1.5).
                    is_socket = scope["type"] == "websocket"
                    left = {"type": "websocket.disconnect", "code": 1006} if is_socket else _LEFT
                    if not (is_socket or is_whole or isinstance(exc, TaskCancelledError)):
                        raise NotReadyError("The request did not arrive whole; send it again.") from exc
                else:
                    is_whole = not message.get("more_body", False)
                    return message
            return left

        await self._app(scope, receive_or_leave, send)
