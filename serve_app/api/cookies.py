"""The one cookie that is read: the session of the console."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

SESSION_COOKIE: Final = "semblance_console"

_KEY: Final = "semblance.console_session"
_VALUE = re.compile(rb"[A-Za-z0-9_-]{43}")


class CookiesMiddleware:
    """Takes the console's session out of the cookies, and removes all cookies from the request: no route
    reads others, but FastAPI parses them for each. Python's time to unquote a value grows with the square of
    its length, two seconds for 16 kB (CVE-2024-7592; fixed in 3.11.10 and 3.12.6).

    Two different cookies of the name are none: another service on the same host, or a page of a sibling
    domain, may have set one of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"}:
            cookies = [value for name, value in scope["headers"] if name == b"cookie"]
            headers = [(name, value) for name, value in scope["headers"] if name != b"cookie"]
            scope = {**scope, "headers": headers, _KEY: _session(cookies)}
        await self._app(scope, receive, send)


def session_cookie(connection: HTTPConnection) -> str | None:
    """What the session's cookie holds, in the form of such a secret; None without it."""
    value: str | None = connection.scope.get(_KEY)
    return value


def _session(cookies: list[bytes]) -> str | None:
    values = set()
    for pair in b";".join(cookies).split(b";"):
        name, _, value = pair.strip(b" \t").partition(b"=")
        if name == SESSION_COOKIE.encode():
            values.add(value)
    if len(values) != 1:
        return None
    [value] = values
    return value.decode() if _VALUE.fullmatch(value) else None
