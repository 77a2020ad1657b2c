"""The console's files, and the content security policies of the pages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from mimetypes import guess_type
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import serve_app
from semblance.errors import StorageError
from semblance.settings import Settings
from semblance.storage.store import Storage
from serve_app.api.operators import origin_of

BUNDLE: Final = Path(serve_app.__path__[0]) / "console" / "dist"
"""What `make console` builds."""

NONCE: Final = "__NONCE__"
"""Stands in index.html where each answer has a nonce of its own, for styles that the page makes itself."""

_NO_BUNDLE: Final = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Semblance</title>
<p>The pages of the console are not built here. Run <code>make console</code> where Semblance is installed
from; the service itself runs.
"""

_COMMON: Final = "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

PAGE_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def console_policy(nonce: str | None, picture_origins: Iterable[str] = ()) -> str:
    """The policy of the console. nonce: of this answer, for styles. picture_origins: where pictures may come
    from besides the service's own origin."""
    images = " ".join(["img-src 'self' blob: data:", *picture_origins])
    styles = "style-src 'self'" + (f" 'nonce-{nonce}'" if nonce else "")
    return f"default-src 'self'; {images}; {styles}; {_COMMON}"


class ConsoleFiles(StaticFiles):
    """The built bundle. Paths that name no file are pages of the application, which all begin as
    index.html."""

    def __init__(self, settings: Settings, folder: Path = BUNDLE) -> None:
        super().__init__(directory=folder, check_dir=False)
        # A folder that is made later is found without a restart.
        self.config_checked = True
        self._folder = folder
        self._public = () if settings.public_url is None else (origin_of(settings.public_url),)

    async def get_response(self, path: str, scope: Scope) -> Response:
        if scope["method"] != "GET":
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, HEAD"})
        response = None
        if path not in {".", "index.html"}:
            response = await self._file(path, scope)
        if response is None:
            if path.startswith("assets/"):
                raise HTTPException(HTTPStatus.NOT_FOUND, headers=PAGE_HEADERS)
            response = await self._page(scope)
        for name, value in PAGE_HEADERS.items():
            response.headers[name] = value
        response.headers.setdefault("Content-Security-Policy", console_policy(None))
        return response

    async def _file(self, path: str, scope: Scope) -> Response | None:
        """A file of the bundle, compressed if there is such a copy and the client takes it."""
        accepted = {
            part.partition(";")[0].strip()
            for part in Headers(scope=scope).get("accept-encoding", "").split(",")
        }
        response = None
        if "gzip" in accepted and (response := await self._plain(f"{path}.gz", scope)) is not None:
            response.headers["Content-Encoding"] = "gzip"
            if response.status_code != HTTPStatus.NOT_MODIFIED:
                response.headers["Content-Type"] = guess_type(path)[0] or "application/octet-stream"
        response = response or await self._plain(path, scope)
        if response is not None:
            response.headers["Vary"] = "Accept-Encoding"
            # Their names change with their content.
            hashed = path.startswith("assets/")
            response.headers["Cache-Control"] = (
                "public, max-age=31536000, immutable" if hashed else "no-cache"
            )
        return response

    async def _plain(self, path: str, scope: Scope) -> Response | None:
        try:
            return await super().get_response(path, scope)
        except ValueError:
            # A path that no file can have.
            return None
        except HTTPException as exc:
            if exc.status_code != HTTPStatus.NOT_FOUND:
                raise
            return None

    async def _page(self, scope: Scope) -> Response:
        try:
            text = await asyncio.to_thread((self._folder / "index.html").read_text, encoding="utf-8")
        except OSError:
            return HTMLResponse(_NO_BUNDLE, HTTPStatus.SERVICE_UNAVAILABLE)
        nonce = secrets.token_urlsafe(16)
        storage: Storage = scope["app"].state.services.storage
        origins = list(self._public)
        with suppress(StorageError):
            bucket = await asyncio.to_thread(lambda: storage.bucket_origin)
            origins += [bucket] if bucket else []
        return HTMLResponse(
            text.replace(NONCE, nonce),
            headers={"Content-Security-Policy": console_policy(nonce, origins), "Cache-Control": "no-cache"},
        )


_INLINE = re.compile(r"<script(?: [^>]*)?>(.*?)</script>", re.DOTALL)


def docs_policy(html: str) -> str:
    """The policy of a page of the API's documentation, which may run its own inline scripts and no others.
    Its styles are inline."""
    scripts = [text for text in _INLINE.findall(html) if text.strip()]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'self'; script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data:; worker-src 'self' blob:; {_COMMON}"
    )


class DocsPolicyMiddleware:
    """Gives the pages of the API's documentation their policy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in {"/docs", "/redoc"}:
            await self._app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def with_policy(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            headers = MutableHeaders(scope=start)
            for name, value in PAGE_HEADERS.items():
                headers[name] = value
            headers["Content-Security-Policy"] = docs_policy(body.decode())
            await send(start)
            await send({**message, "body": body})

        await self._app(scope, receive, with_policy)
