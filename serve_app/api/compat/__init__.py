"""The answers that clients of the app of 2025 expect, under SEMBLANCE_COMPAT=2025.

Everything for them is in this package, and `install` is its only entry. docs/compat.md says what differs.
"""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request, Response

from semblance.errors import UnreadableImageError
from semblance.settings import Settings
from serve_app.api.compat.cookie import SessionCookieMiddleware
from serve_app.api.compat.routes import router
from serve_app.api.errors import answer_to

__all__ = ["install"]


def install(app: FastAPI, settings: Settings) -> None:
    """Add the old routes to `app`, before any other routes."""
    app.include_router(router)
    app.add_middleware(SessionCookieMiddleware, settings)
    app.add_exception_handler(UnreadableImageError, _bad_request)


async def _bad_request(_: Request, exc: Exception) -> Response:
    """400 for an unreadable photo, instead of 415."""
    assert isinstance(exc, UnreadableImageError)  # noqa: S101 - what it was installed for
    response = answer_to(exc)
    if response.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        response.status_code = HTTPStatus.BAD_REQUEST
    return response
