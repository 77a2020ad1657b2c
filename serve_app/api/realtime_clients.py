"""Clients of realtime events: what they ask for, and how long they may stay."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, cast

from starlette.requests import HTTPConnection

from db.profiles import Profile
from db.secret_hash import secret_hash
from semblance.errors import BadInputError, ForbiddenError, IdentityProviderError, UnauthorizedError
from serve_app.api.cookies import session_cookie
from serve_app.api.operators import session_of_cookie
from serve_app.api.services import Services
from serve_app.api.sign_in import authenticate
from serve_app.auth import UserSession, bearer_token
from serve_app.realtime.frames import CHANNELS, Channel
from serve_app.realtime.subscription import EXPIRED, SIGNED_OUT, TOO_LONG, Subscription

LONGEST_S = 50 * 60.0
"""Longest life of a connection; `request_timeout_s` in serve_config.yaml would end it without a reason."""

LONGEST_STREAM_S = 10 * 60.0
"""As LONGEST_S, for server-sent events: nothing tells how much of them has arrived."""

GUEST_CHANNELS: Final[frozenset[Channel]] = frozenset({"feed"})
CONSOLE_CHANNELS: Final[frozenset[Channel]] = frozenset({"admin", "feed"})
"""The channels of clients without a profile."""

_EVENT_ID_DIGITS = 18
"""Any number with so many digits fits a bigint."""


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a client asks for, checked. token: the access token, None for a guest and for the console.
    session: the token's, or that of the console."""

    user: Profile | None
    channels: frozenset[Channel]
    last_event_id: int | None
    token: str | None
    session: UserSession | None


async def check_request(
    services: Services,
    connection: HTTPConnection,
    *,
    authorization: str | None,
    access_token: str | None,
    channels: str | None,
    last_event_id: str | None,
) -> StreamRequest:
    """Check what a client asks for, in its headers or its query.

    Raises BadInputError for an unknown channel or event id, UnauthorizedError for a token that is not valid
    and for channels that need one, ForbiddenError for channels that are not for this client, and what
    `authenticate` and `session_of_cookie` raise.
    """
    token = bearer_token(authorization) if authorization is not None else access_token
    if token is None and (cookie := session_cookie(connection)) is not None:
        session = await session_of_cookie(services, connection)
        wanted = _channels(channels, allowed=CONSOLE_CHANNELS, default=frozenset({"admin"}))
        lasts = UserSession(
            secret_hash(cookie), session.expires_at.timestamp(), session.expires_at.timestamp()
        )
        return StreamRequest(None, wanted, _event_id(last_event_id), None, lasts)
    if token is None:
        wanted = _channels(channels, allowed=GUEST_CHANNELS, default=GUEST_CHANNELS)
    else:
        wanted = _channels(channels, allowed=frozenset(CHANNELS), default=frozenset(CHANNELS) - {"admin"})
    after = _event_id(last_event_id)
    if token is None:
        return StreamRequest(None, wanted, after, None, None)
    signed_in = await authenticate(services, token)
    if "admin" in wanted and signed_in.user.role != "admin":
        raise ForbiddenError("Only admins may listen to the channel 'admin'.")
    return StreamRequest(signed_in.user, wanted, after, token, signed_in.session)


@asynccontextmanager
async def joined(
    services: Services, connection: HTTPConnection, asked: StreamRequest, longest: float
) -> AsyncIterator[Subscription]:
    """A client of the hub: for `longest` seconds at most, and until its session ends.

    Raises as `Hub.join`.
    """
    base_url = services.settings.public_url or str(connection.base_url)
    if base_url.startswith("ws"):
        base_url = base_url.replace("ws", "http", 1)
    profile_id = None if asked.user is None else asked.user.id
    key = None if asked.session is None else asked.session.key
    async with services.hub.join(profile_id, asked.channels, base_url, asked.last_event_id, key) as client:
        loop = asyncio.get_running_loop()
        timers = [loop.call_later(longest, client.stop, TOO_LONG)]
        if asked.session is not None:
            timers.append(loop.call_later(asked.session.ends_at - time.time(), client.stop, EXPIRED))
        watch = asyncio.create_task(_watch_session(services, asked.token, client))
        try:
            yield client
        finally:
            watch.cancel()
            for timer in timers:
                timer.cancel()


async def _watch_session(services: Services, token: str | None, client: Subscription) -> None:
    """Ask the identity provider for the session while the connection is open, if the settings say so."""
    every = services.settings.session_check_seconds
    while token is not None and every is not None:
        await asyncio.sleep(every)
        try:
            await services.tokens.verify(token)
        except UnauthorizedError:
            client.stop(SIGNED_OUT)
            return
        except IdentityProviderError:
            # As for requests: a session that it knew stays valid until it says otherwise.
            continue


def _channels(
    text: str | None, *, allowed: frozenset[Channel], default: frozenset[Channel]
) -> frozenset[Channel]:
    if text is None:
        return default
    names = {name.strip() for name in text.split(",")}
    if unknown := names.difference(CHANNELS):
        known = ", ".join(CHANNELS)
        raise BadInputError(f"There is no channel {min(unknown)!r}; choose from {known}.")
    if not names <= allowed:
        if allowed == GUEST_CHANNELS:
            raise UnauthorizedError("Guests may listen to the channel 'feed' only; send an access token.")
        raise ForbiddenError("The console may listen to the channels 'admin' and 'feed' only.")
    return frozenset(cast(set[Channel], names))


def _event_id(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _EVENT_ID_DIGITS):
        raise BadInputError("The last event id is not valid; send the id of an event unchanged.")
    return int(text)
