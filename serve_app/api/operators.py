"""Who operates the service: an admin by access token, or a session of the console by cookie.

A browser adds cookies to the requests of any page. The cookie is SameSite=Strict, and what a page of another
origin sends with it is refused besides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import HTTPConnection

from db.console_sessions import ConsoleSession, session_actor
from semblance.actor import actor_var
from semblance.errors import ForbiddenError, UnauthorizedError
from semblance.settings import Settings
from serve_app.api.cookies import session_cookie
from serve_app.api.services import Services
from serve_app.api.sign_in import SignedIn, authenticate

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})

_ENDED: Final = "You are not signed in to the console; `semblance console` prints a link."


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """An operator. profile_id: the admin; None for a session that a code opened. session_id: of the console;
    None for an access token. name: for people."""

    profile_id: UUID | None
    session_id: UUID | None
    name: str


async def operator_of_token(services: Services, token: str) -> tuple[OperatorIdentity, SignedIn]:
    """The admin whose access token it is, who is from now on the actor of the audit log. Raises
    ForbiddenError for other users, and as `authenticate`."""
    signed_in = await authenticate(services, token)
    user = signed_in.user
    if user.role != "admin":
        raise ForbiddenError("Only admins may do this.")
    actor_var.set(f"admin:{user.id}")
    return OperatorIdentity(user.id, None, user.name or user.email or str(user.id)), signed_in


async def operator_of_cookie(services: Services, connection: HTTPConnection) -> OperatorIdentity:
    """The operator of the request's session; raises as `session_of_cookie`."""
    session = await session_of_cookie(services, connection)
    return OperatorIdentity(session.profile_id, session.id, session.name or "Console")


async def session_of_cookie(services: Services, connection: HTTPConnection) -> ConsoleSession:
    """The valid session of the request's cookie, which is from now on the actor of the audit log. Raises
    UnauthorizedError without one, and ForbiddenError if the request comes from a page of another origin."""
    token = session_cookie(connection)
    if token is None:
        raise UnauthorizedError(_ENDED)
    check_origin(services.settings, connection)
    session = await services.db.console_sessions.use(token)
    if session is None:
        raise UnauthorizedError(_ENDED)
    actor_var.set(session_actor(session))
    return session


def check_origin(settings: Settings, connection: HTTPConnection, *, required: bool | None = None) -> None:
    """Raises ForbiddenError if the request has another `Origin` than the service, or has none and needs one.

    required: by default for WebSockets and for all that may change something; a page's own GET has none.
    """
    if required is None:
        required = connection.scope["type"] == "websocket" or connection.scope["method"] not in _SAFE
    given = connection.headers.getlist("origin")
    if (not given and required) or not own_origins(settings, connection).issuperset(given):
        raise ForbiddenError(
            "With the console's cookie, requests must come from a page of this service's own origin."
        )


def own_origins(settings: Settings, connection: HTTPConnection) -> frozenset[str]:
    """The origins of the service for this request: that of its address and that of `public_url`.

    A request that arrived by HTTP may have left the browser by HTTPS, if a proxy in front is not one of
    `trusted_proxies`. The other way round is never so.
    """
    host = connection.headers.get("host", "").lower()
    schemes = {"https"} if is_secure(connection) else {"http", "https"}
    own = {f"{scheme}://{_without_default_port(scheme, host)}" for scheme in schemes}
    if settings.public_url is not None:
        own.add(origin_of(settings.public_url))
    return frozenset(own)


def is_secure(connection: HTTPConnection) -> bool:
    """Whether the request is known to have come by HTTPS."""
    return connection.url.scheme in {"https", "wss"}


def origin_of(url: str) -> str:
    """The origin of a URL, as browsers write it."""
    parts = urlsplit(url.lower())
    return f"{parts.scheme}://{_without_default_port(parts.scheme, parts.netloc.rpartition('@')[2])}"


def _without_default_port(scheme: str, authority: str) -> str:
    return authority.removesuffix({"http": ":80", "https": ":443"}.get(scheme, ":"))
