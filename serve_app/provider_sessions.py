"""Whether a session still exists at Supabase, which an access token cannot tell: asked now and then."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self
from uuid import UUID

import httpx

from semblance.errors import IdentityProviderError, UnauthorizedError
from semblance.settings import Settings

logger = logging.getLogger(__name__)

COOLDOWN_S: Final = 5.0
"""How long nothing is asked after Supabase did not answer, so that requests do not wait one after another."""

REMEMBERED: Final = 10_000
"""Sessions whose state a replica remembers; the least recently used is forgotten first."""

_ANSWER_SECONDS = 3.0
_MAX_BYTES = 256 * 1024
"""Longest answer. That of a user has all that they and the project keep with the account."""

_UNSAID: Final = frozenset({401, 403, 404, 408, 429})
"""Client error statuses that say nothing about one token: about the key, the URL, or too many requests."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What Supabase said about a session. at: when, by the monotonic clock."""

    exists: bool
    at: float


class ProviderSessions:
    """Asks `GET /auth/v1/user` with a user's own token, at most once in `every` seconds for each session.

    While Supabase does not answer, its last answer holds: sessions that it knew stay valid, ended ones stay
    refused. A session that it was never asked about is answered with 503. Created and used on one event loop;
    needs no closing.
    """

    def __init__(
        self,
        url: str,
        key: str,
        every: float,
        *,
        cooldown: float = COOLDOWN_S,
        remembered: int = REMEMBERED,
    ) -> None:
        """
        Args:
            url: of the project.
            key: its anon key, which Supabase's gateway requires.
            every: in seconds.
            cooldown, remembered: as COOLDOWN_S and REMEMBERED.
        """
        self._url = f"{url}/auth/v1/user"
        self._key = key
        self._every = every
        self._cooldown = cooldown
        self._remembered = remembered
        self._seen: OrderedDict[bytes, _Seen] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[bool | None]] = {}
        self._next_try = 0.0
        # Without connections that stay open there is nothing to close.
        self._client = httpx.AsyncClient(
            timeout=_ANSWER_SECONDS, limits=httpx.Limits(max_keepalive_connections=0)
        )

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """None if the settings do not ask for it."""
        key = settings.supabase_anon_key or settings.supabase_service_role_key
        if settings.session_check_seconds is None or settings.supabase_url is None or key is None:
            return None
        return cls(settings.supabase_url, key.get_secret_value(), settings.session_check_seconds)

    async def check(self, token: str, session: bytes, subject: UUID) -> None:
        """Return if the session of a valid access token of this user exists.

        Raises UnauthorizedError if it does not, IdentityProviderError if that is not known.
        """
        seen = self._seen.get(session)
        if seen is None or time.monotonic() - seen.at >= self._every:
            exists = await self._ask_once(token, session, subject)
            seen = seen if exists is None else _Seen(exists, time.monotonic())
        if seen is None:
            raise IdentityProviderError("The identity provider cannot be reached; try again soon.")
        self._seen[session] = seen
        self._seen.move_to_end(session)
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)
        if not seen.exists:
            raise UnauthorizedError("This session has ended; sign in again.")

    async def _ask_once(self, token: str, session: bytes, subject: UUID) -> bool | None:
        """As `_ask`, but requests of one session share the question, and the answer is None for a while after
        Supabase gave none."""
        asking = self._asking.get(session)
        if asking is None:
            if time.monotonic() < self._next_try:
                return None
            asking = self._asking[session] = asyncio.create_task(self._ask(token, subject))
            asking.add_done_callback(lambda _: self._asking.pop(session))
        # A client that leaves must not cancel the question for the others.
        return await asyncio.shield(asking)

    async def _ask(self, token: str, subject: UUID) -> bool | None:
        """Whether Supabase knows the session; None if it does not say."""
        # Uncompressed: compressed content may become any size.
        headers = {"apikey": self._key, "Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        try:
            async with (
                asyncio.timeout(_ANSWER_SECONDS),
                self._client.stream("GET", self._url, headers=headers) as answer,
            ):
                content = b""
                async for chunk in answer.aiter_raw():
                    content += chunk
                    if len(content) > _MAX_BYTES:
                        content = b""
                        break
            exists = _said(answer.status_code, content, subject)
            if exists is not None:
                return exists
            reason = f"status {answer.status_code}"
            if answer.is_client_error and answer.status_code not in _UNSAID:
                # It refuses just this token, whose length its user has chosen: others must not suffer.
                logger.warning("Supabase does not say whether a session exists: %s", reason)
                return None
        except (httpx.HTTPError, TimeoutError) as exc:
            reason = str(exc) or type(exc).__name__
        self._next_try = time.monotonic() + self._cooldown
        logger.warning("Supabase does not say whether sessions exist: %s", reason)
        return None


def _said(status: int, content: bytes, subject: UUID) -> bool | None:
    """What Supabase Auth itself says about a token of this user; None for any other answer. The gateway
    before it answers 401 for a wrong key, which must not sign everybody out, and a proxy may answer 200 with
    its own page."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    if status == HTTPStatus.OK:
        return True if said.get("id") == str(subject) else None
    refused = status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}
    return False if refused and ("error_code" in said or "msg" in said) else None
