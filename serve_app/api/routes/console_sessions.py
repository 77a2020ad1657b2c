"""Signing in to the console and out, and the sessions there are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, status

from db.console_sessions import NewConsoleSession
from serve_app.api.cookies import SESSION_COOKIE
from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.dependencies import (
    CurrentConsoleSession,
    Injected,
    Operator,
    OptionalBearer,
)
from serve_app.api.operators import check_origin, is_secure, operator_of_token
from serve_app.api.responses import BODY, errors
from serve_app.api.services import Services
from serve_app.auth import bearer_token
from serve_app.schemas.console import ConsoleSessionAnswer, ConsoleSessionsAnswer, ConsoleSignIn

router = APIRouter(tags=["console"])


@router.post(
    "/console/sessions", status_code=status.HTTP_201_CREATED, responses=errors(400, 401, 403, 429, *BODY)
)
async def sign_in_to_console(
    body: ConsoleSignIn,
    request: Request,
    response: Response,
    services: Injected,
    _: OptionalBearer,
) -> ConsoleSessionAnswer:
    """Begin a session of the console, with the code of a link of `semblance console` or with an admin's
    access token. The answer sets a cookie that lasts twelve hours."""
    # Nobody is signed in to somebody else's session by a page of another origin.
    check_origin(services.settings, request, required=False)
    made = await _made(services, request, body.code)
    # The page may have come by HTTPS through a proxy that is not one of `trusted_proxies`.
    by_https = is_secure(request) or request.headers.get("origin", "").startswith("https:")
    response.set_cookie(
        SESSION_COOKIE,
        made.token,
        max_age=int((made.session.expires_at - datetime.now(UTC)).total_seconds()),
        httponly=True,
        samesite="strict",
        secure=by_https or (services.settings.public_url or "").startswith("https:"),
    )
    return ConsoleSessionAnswer.of(made.session)


async def _made(services: Services, request: Request, code: str | None) -> NewConsoleSession:
    if code is None:
        token = bearer_token(request.headers.get("authorization"))
        operator, signed_in = await operator_of_token(services, token)
        assert operator.profile_id is not None  # noqa: S101 - an access token has a profile
        return await services.db.console_sessions.open_for(operator.profile_id, signed_in.session.key)
    # Not limited by failures: a code cannot be guessed, and an operator would be kept out by any client that
    # shares their address.
    return await services.db.console_sessions.exchange(code)


@router.get("/console/session", responses=errors(401, 403))
async def get_console_session(session: CurrentConsoleSession) -> ConsoleSessionAnswer:
    """Who is signed in to the console, and until when."""
    return ConsoleSessionAnswer.of(session)


@router.delete("/console/session", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403))
async def sign_out_of_console(session: CurrentConsoleSession, response: Response, services: Injected) -> None:
    """End the session. Its realtime connections end, too."""
    await services.db.console_sessions.revoke(session.id)
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="strict")


@router.get("/admin/console-sessions", responses=errors(400, 401, 403))
async def list_console_sessions(
    _: Operator,
    services: Injected,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Cursor = None,
) -> ConsoleSessionsAnswer:
    """The sessions of the console that are valid, newest first."""
    page = await services.db.console_sessions.page(limit=limit, after=place_by_time(cursor))
    return ConsoleSessionsAnswer(
        sessions=[ConsoleSessionAnswer.of(session) for session in page.items],
        next_cursor=encode_cursor(page.next),
    )


@router.delete(
    "/admin/console-sessions/{session_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(401, 403, 404),
)
async def revoke_console_session(session_id: UUID, _: Operator, services: Injected) -> None:
    """End a session of the console."""
    await services.db.console_sessions.revoke(session_id)
