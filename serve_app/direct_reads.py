"""Plain reads that go past what Ray Serve does for each request.

Serve counts a request, watches its client and its time, logs it and measures it. For a small read that was a
quarter of the replica's work (benchmarks/reads.py). A read needs none of this: the API limits its time and
measures it, and a replica that stops closes its HTTP server only when that has answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar, Final

from ray.serve.context import _set_request_context
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.long_lines import take_long_lines
from serve_app.trailers import drop_trailers

_UNWATCHED: Final = (b"x-request-disconnect-disabled", b"?1")
"""How the gateway tells Serve not to watch the client of a read. It removes such headers of clients."""

_STREAMS: Final = "/api/realtime"
"""Endless answers are left to Serve: replicas are added by their number (`deployments.scaling`)."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """loop: the one on which the application runs."""

    app: ASGIApp
    loop: asyncio.AbstractEventLoop


class DirectReads:
    """The outermost middleware of Serve's HTTP servers. Only those of the API's replicas have an application
    to pass reads to; the server of Serve's proxy passes everything on."""

    _opened: ClassVar[_Opened | None] = None

    def __init__(self, app: ASGIApp) -> None:
        """app: Serve's, for all other requests."""
        self._serve = app

    @classmethod
    def open(cls, app: ASGIApp) -> None:
        """From now on `app` answers the plain reads of this process. Called on the loop of the application:
        where Serve has its servers on another one, all requests go through Serve."""
        cls._opened = _Opened(app, asyncio.get_running_loop())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        opened = self._opened
        if opened is None or not _is_plain_read(scope) or asyncio.get_running_loop() is not opened.loop:
            await self._serve(scope, receive, send)
            return
        # What the read asks of other deployments has its id.
        _set_request_context(request_id=Headers(scope=scope).get("x-request-id", ""))
        await opened.app(scope, receive, send)


def _is_plain_read(scope: Scope) -> bool:
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and _UNWATCHED in scope["headers"]
        and not scope["path"].startswith((_STREAMS, "/-/"))
    )


def middlewares() -> list[Middleware]:
    """Serve calls this for each of its HTTP servers (RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH)."""
    drop_trailers()
    take_long_lines()
    return [Middleware(DirectReads)]
