"""The identity provider's public keys (JWKS, RFC 7517): cached, rotated, kept while it is down."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Final

import httpx
import jwt

from semblance.errors import IdentityProviderError
from semblance.sizes import byte_size

logger = logging.getLogger(__name__)

ALGORITHMS: Final = frozenset({"RS256", "ES256"})
"""The algorithms of keys. A symmetric key in the set is ignored: anyone can read it there."""

LIFETIME_S = 300.0
"""Age after which the keys are fetched again."""

COOLDOWN_S = 10.0
"""Least time between two fetches, for any key ids in tokens. A new key is unknown for so long at most."""

_FETCH_SECONDS = 5.0
_MAX_BYTES = 256 * 1024


class SigningKeys:
    """The keys behind one JWKS URL. Created and used on one event loop; needs no closing."""

    def __init__(
        self,
        url: str,
        *,
        lifetime: float = LIFETIME_S,
        cooldown: float = COOLDOWN_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """lifetime, cooldown: in seconds of the clock, as LIFETIME_S and COOLDOWN_S."""
        self._url = url
        self._clock = clock
        self._lifetime = lifetime
        self._cooldown = cooldown
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched: float | None = None
        self._next_try = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        # Without connections that stay open there is nothing to close. A new client loads the certificates of
        # the authorities, which takes too long to be done on the event loop for every fetch.
        self._client = httpx.AsyncClient(
            timeout=_FETCH_SECONDS, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of this id; None if the provider does not know it either.

        A known key is returned at once, even while the keys are fetched again. Only after two lifetimes does
        the request wait, so that a key that the provider has withdrawn does not live on in an idle process.
        While the provider cannot be reached, its last keys stay valid.

        Raises IdentityProviderError if the provider has not been reached yet.
        """
        known = kid in self._keys
        if not known or self._age() > self._lifetime:
            fetching = self._fetch_soon()
            if fetching is not None and (not known or self._age() > 2 * self._lifetime):
                # A client that leaves must not cancel the fetch for the others.
                await asyncio.shield(fetching)
        if self._fetched is None:
            raise IdentityProviderError("The identity provider cannot be reached; try again soon.")
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched is None else self._clock() - self._fetched

    def _fetch_soon(self) -> asyncio.Task[None] | None:
        """The running fetch or a new one; None if the last is too recent."""
        if self._fetching is None or self._fetching.done():
            if self._clock() < self._next_try:
                return None
            self._next_try = self._clock() + self._cooldown
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                keys = _parse(await self._download())
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as exc:
            reason = str(exc) or type(exc).__name__
            logger.warning("The identity provider's keys cannot be fetched: %s", reason)
            return
        self._keys = keys
        self._fetched = self._clock()

    async def _download(self) -> bytes:
        """The content behind the URL. Raises httpx.HTTPError, and ValueError if it is implausibly long."""
        content = b""
        async with self._client.stream("GET", self._url, headers={"Accept": "application/json"}) as answer:
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > _MAX_BYTES:
                    raise ValueError(f"the answer is larger than {byte_size(_MAX_BYTES)}")
        return content


def _parse(content: bytes) -> dict[str, jwt.PyJWK]:
    """The usable keys by id. Raises ValueError if no key is usable."""
    document = json.loads(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    keys = {}
    for entry in entries if isinstance(entries, list) else []:
        key = _signing_key(entry)
        if key is not None and isinstance(key.key_id, str):
            keys[key.key_id] = key
    if not keys:
        raise ValueError("the answer holds no key for RS256 or ES256")
    return keys


def _signing_key(entry: object) -> jwt.PyJWK | None:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
        return None
    try:
        key = jwt.PyJWK(entry)
    except jwt.PyJWTError:
        # Of a kind that this library does not know; the others may be usable.
        return None
    return key if key.algorithm_name in ALGORITHMS else None
