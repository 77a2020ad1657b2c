"""Origins of browser apps that may not call: they are logged."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__name__)

SAY_EVERY_S: Final = 60.0
_REMEMBERED: Final = 100
"""Most origins logged within that time. Further ones are probably made up, and are ignored."""

_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]{0,30}://[A-Za-z0-9._:\[\]-]{1,253}")


class UnlistedOriginMiddleware:
    """Logs the preflight of an origin that may not call, once a minute for each. The browser tells its page
    only that the network failed, so the log is the only place that shows the mistake."""

    def __init__(self, app: ASGIApp, origins: Collection[str], every: float = SAY_EVERY_S) -> None:
        """origins: those that may call; `*` means all. every: in seconds, as SAY_EVERY_S."""
        self._app = app
        self._origins = frozenset(origins)
        self._every = every
        self._said: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS" and "*" not in self._origins:
            headers = Headers(scope=scope)
            if "access-control-request-method" in headers:
                self._tell(headers.get("origin", ""))
        await self._app(scope, receive, send)

    def _tell(self, origin: str) -> None:
        # No browser sends an invalid origin, and it could forge a log line.
        if origin in self._origins or not _ORIGIN.fullmatch(origin):
            return
        now = time.monotonic()
        self._said = {known: said for known, said in self._said.items() if now - said < self._every}
        if origin in self._said or len(self._said) >= _REMEMBERED:
            return
        self._said[origin] = now
        logger.warning(
            "A browser app of %s asked to call and may not: SEMBLANCE_CORS_ORIGINS does not list it.", origin
        )
