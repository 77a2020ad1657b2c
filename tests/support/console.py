"""A session of the console of the API under test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from serve_app.api.cookies import SESSION_COOKIE
from tests.support.api import Api

ORIGIN = "http://api"
"""Of the API under test."""


@dataclass(frozen=True, slots=True)
class ConsoleUser:
    """A session, and calls as a page of the service makes them."""

    api: Api
    token: str = field(repr=False)

    async def call(
        self, method: str, path: str, *, origin: str | None = ORIGIN, **more: Any
    ) -> httpx.Response:
        headers = {"Cookie": f"{SESSION_COOKIE}={self.token}"}
        if origin is not None:
            headers["Origin"] = origin
        return await self.api.client.request(method, path, headers=headers, **more)


def session_of(answer: httpx.Response) -> str:
    """The value of the cookie in the answer."""
    assert answer.status_code == 201, answer.text
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == SESSION_COOKIE
    return str(rest.partition(";")[0])


async def sign_in(api: Api) -> ConsoleUser:
    """Sign in by a new code, as the link of `semblance console` does."""
    code = await api.services.db.console_sessions.make_code()
    answer = await api.client.post("/api/console/sessions", json={"code": code}, headers={"Origin": ORIGIN})
    # The client must not send the cookie by itself.
    api.client.cookies.clear()
    return ConsoleUser(api, session_of(answer))
