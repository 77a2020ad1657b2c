"""Supabase's session cookie in place of the `Authorization` header."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from semblance.errors import ForbiddenError
from semblance.settings import Settings
from serve_app.api.errors import answer_to

_NAME = re.compile(r"sb-([A-Za-z0-9-]{1,100})-auth-token(?:\.(\d))?")
"""The project's reference, and the number of a part: a cookie holds 4 kB, so a session may take several."""

_BASE64: Final = "base64-"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS: Final = {"http": 80, "https": 443}


class SessionCookieMiddleware:
    """Turns the session cookie into an `Authorization` header, for requests under /api without one.

    A browser adds cookies to the requests of any page, so the `Origin` must be the service's own or one that
    `cors_origins` lists by name. Without an origin only safe methods count (RFC 9110, section 9.2.1), no
    WebSocket, and nothing that a page of another site embeds: a listener to events is shown as online. Other
    requests are answered as without a cookie, or with 403 if they would change something.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._origins = frozenset(settings.cors_origins) - {"*"}
        self._own = _authority(settings.public_url) if settings.public_url else None
        self._project = _project(settings.supabase_url) if settings.supabase_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and scope["path"].startswith("/api/"):
            headers = Headers(scope=scope)
            token = None if _has_token(scope, headers) else self._token(headers)
            if token is not None:
                if self._may(scope, headers):
                    header = (b"authorization", f"Bearer {token}".encode("latin-1"))
                    scope = {**scope, "headers": [*scope["headers"], header]}
                elif scope["type"] == "http" and scope["method"] not in _SAFE:
                    refusal = ForbiddenError(
                        "With a session cookie, requests that change something must come from a page of this "
                        "service's own origin, or of one that SEMBLANCE_CORS_ORIGINS lists."
                    )
                    await answer_to(refusal)(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _may(self, scope: Scope, headers: Headers) -> bool:
        origins = headers.getlist("origin")
        if not origins:
            # For what a page of another site embeds, such as a picture or a frame, browsers send this and no
            # origin.
            sites = headers.getlist("sec-fetch-site") or ["none"]
            is_ours = sites in (["none"], ["same-origin"])
            return scope["type"] == "http" and scope["method"] in _SAFE and is_ours
        if len(origins) > 1:
            return False
        [origin] = origins
        if origin in self._origins:
            return True
        # Behind a proxy the service does not know its scheme, and cookies ignore it, too.
        scheme = origin.partition("://")[0]
        own = self._own or _authority(f"{scheme}://{headers.get('host', '')}")
        return own is not None and own == _authority(origin)

    def _token(self, headers: Headers) -> str | None:
        """The access token of the session in the cookies, if there is one."""
        projects: dict[str, dict[int, str]] = {}
        # Split here: the value of a session is never quoted; `NoCookiesMiddleware` says what unquoting costs.
        for pair in ";".join(headers.getlist("cookie")).split(";"):
            name, _, value = pair.strip(" \t").partition("=")
            if found := _NAME.fullmatch(name):
                # An undivided cookie is the first and only part.
                projects.setdefault(found[1], {})[int(found[2] or -1)] = value
        for project, parts in sorted(projects.items()):
            if self._project in {None, project} and (token := _access_token(_joined(parts))) is not None:
                return token
        return None


def _has_token(scope: Scope, headers: Headers) -> bool:
    """Whether the client itself sends a token, in one of the possible ways."""
    return (
        "authorization" in headers
        or b"access_token=" in scope["query_string"]
        or "bearer" in headers.get("sec-websocket-protocol", "")
    )


def _joined(parts: Mapping[int, str]) -> str:
    """The value of a cookie, or of its parts, which are numbered from 0 without a gap: parts of an earlier,
    longer session may be left."""
    if -1 in parts:
        return parts[-1]
    value, number = "", 0
    while number in parts:
        value += parts[number]
        number += 1
    return value


def _access_token(value: str) -> str | None:
    """The access token in a session as supabase-js stores it: JSON, percent-encoded or in URL-safe base64.
    Older versions wrote a list that begins with it."""
    try:
        if value.startswith(_BASE64):
            digits = value.removeprefix(_BASE64).rstrip("=")
            text = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4)).decode()
        else:
            text = unquote(value)
        session = json.loads(text)
    except (ValueError, binascii.Error, RecursionError):
        return None
    if isinstance(session, dict):
        token = session.get("access_token")
    else:
        token = session[0] if isinstance(session, list) and session else None
    # The form of a token (RFC 7515, section 7.1); nothing else may get into a header.
    return token if isinstance(token, str) and re.fullmatch(r"[A-Za-z0-9._-]+", token) else None


def _authority(url: str) -> tuple[str, int | None] | None:
    """Host and port; None for an invalid URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.hostname, port) if parts.hostname else None


def _project(url: str) -> str:
    """The reference of the project at this URL, as its cookies name it."""
    return (urlsplit(url).hostname or "").partition(".")[0]
