"""A time limit for ordinary requests. Realtime connections have a separate, much longer one.

Serve's `request_timeout_s` cannot tell them apart: it would end a socket as it ends a request that hangs.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from semblance.errors import OverloadedError
from serve_app.api.errors import answer_to

REQUEST_S = 60.0
"""Longest time from the last byte of a request until its answer begins."""


_DEADLINE = "semblance.deadline"


def deadline_has_passed(scope: Scope) -> bool:
    """Whether the request is cancelled because it takes too long, and not because its client left."""
    deadline: asyncio.Timeout | None = scope.get(_DEADLINE)
    return deadline is not None and deadline.expired()


class DeadlineMiddleware:
    """Cancels a request whose answer has not begun within `seconds`, and answers 503."""

    def __init__(self, app: ASGIApp, seconds: float = REQUEST_S) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        whole = False
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                # Known as expired before the work is cancelled.
                scope[_DEADLINE] = deadline

                async def patient() -> Message:
                    """Receive without a limit: the time begins with the last byte of the request."""
                    nonlocal whole
                    if whole or deadline.when() is None:
                        return await receive()
                    deadline.reschedule(None)
                    message = await receive()
                    whole = not message.get("more_body", False)
                    deadline.reschedule(loop.time() + self._seconds)
                    return message

                async def begun(message: Message) -> None:
                    if deadline.when() is not None:
                        deadline.reschedule(None)
                    await send(message)

                await self._app(scope, patient, begun)
        except TimeoutError:
            if not deadline.expired():
                raise
            response = answer_to(OverloadedError("This takes too long; try again soon.", 5))
            await response(scope, receive, send)
