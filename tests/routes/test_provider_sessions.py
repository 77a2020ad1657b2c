"""Sessions that are checked with Supabase: how often, what its answers mean, and what applies without one."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed

from semblance.errors import IdentityProviderError, UnauthorizedError
from semblance.settings import Settings
from serve_app.auth import TokenVerifier
from serve_app.provider_sessions import ProviderSessions
from tests.support.api import JWT_SECRET, Api, make_token
from tests.support.realtime import serving as serving_api
from tests.support.supabase_auth import ANON_KEY, SupabaseAuth, serving
from tests.support.waiting import PATIENCE_S, until

SUBJECT = uuid.UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, Supabase answers in time."""
    monkeypatch.setattr("serve_app.provider_sessions._ANSWER_SECONDS", PATIENCE_S)


@pytest.fixture
def auth() -> Iterator[SupabaseAuth]:
    with serving() as running:
        yield running


@pytest.fixture
def api_settings(api_settings: Settings, auth: SupabaseAuth) -> Settings:
    return api_settings.model_copy(update=update(auth))


def update(auth: SupabaseAuth, every: float = 60) -> dict[str, object]:
    return {
        "supabase_url": auth.url,
        "supabase_anon_key": SecretStr(ANON_KEY),
        "session_check_seconds": every,
    }


def token(session: str) -> str:
    return make_token(SUBJECT, "ada@mit.edu", session_id=session)


def sessions(
    auth: SupabaseAuth, *, every: float = 60, cooldown: float = 60, remembered: int = 100
) -> ProviderSessions:
    return ProviderSessions(auth.url, ANON_KEY, every, cooldown=cooldown, remembered=remembered)


async def check(asked: ProviderSessions, session: str) -> str:
    """`fine`, `ended` or `unknown`."""
    try:
        await asked.check(token(session), session.encode(), SUBJECT)
    except UnauthorizedError:
        return "ended"
    except IdentityProviderError:
        return "unknown"
    return "fine"


def a_while_passes(asked: ProviderSessions) -> None:
    """What is known is a minute older."""
    for session, seen in asked._seen.items():
        asked._seen[session] = replace(seen, at=seen.at - 60)


async def test_an_ended_session_is_refused_over_http(api: Api, auth: SupabaseAuth) -> None:
    auth.ended.add("b")
    for session, status in (("a", 200), ("b", 401)):
        headers = {"Authorization": f"Bearer {token(session)}"}
        for _ in range(3):
            assert (await api.client.get("/api/auth/me", headers=headers)).status_code == status
    assert auth.asked == {"a": 1, "b": 1}


async def test_an_invalid_token_is_not_checked_there(api: Api, auth: SupabaseAuth) -> None:
    headers = {"Authorization": f"Bearer {token('a')[:-4]}AAAA"}
    assert (await api.client.get("/api/auth/me", headers=headers)).status_code == 401
    assert not auth.asked


async def test_without_the_setting_nobody_is_asked(auth: SupabaseAuth) -> None:
    settings = Settings(supabase_url=auth.url, jwt_secret=SecretStr(JWT_SECRET), jwt_issuer=None)
    assert ProviderSessions.of(settings) is None
    await TokenVerifier(settings).verify(token("a"))
    assert not auth.asked


async def test_it_is_asked_again_after_a_while(auth: SupabaseAuth) -> None:
    asked = sessions(auth)
    auth.ended.add("b")
    for session, outcome in (("a", "fine"), ("b", "ended")):
        assert [await check(asked, session) for _ in range(3)] == [outcome] * 3
    # A user who was shut out may come back.
    auth.ended = {"a"}
    assert (await check(asked, "a"), await check(asked, "b")) == ("fine", "ended")
    a_while_passes(asked)
    assert (await check(asked, "a"), await check(asked, "b")) == ("ended", "fine")
    assert auth.asked == {"a": 2, "b": 2}


async def test_parallel_requests_share_a_check(auth: SupabaseAuth) -> None:
    auth.answers.clear()
    asked = sessions(auth)
    leaving = asyncio.create_task(check(asked, "a"))
    await until(lambda: auth.asked["a"] == 1)
    leaving.cancel()
    staying = [asyncio.create_task(check(asked, "a")) for _ in range(20)]
    await asyncio.sleep(0)
    auth.answers.set()
    assert await asyncio.gather(*staying) == ["fine"] * 20
    assert auth.asked["a"] == 1


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (401, b'{"code": 401, "msg": "invalid JWT"}', "ended"),
        (403, b'{"code": 403, "error_code": "bad_jwt", "msg": "invalid JWT"}', "ended"),
        (404, b'{"code": 404, "error_code": "user_not_found"}', "ended"),
        # Answers of Supabase's gateway about the key, or of any other server in between.
        (401, b'{"message": "Invalid API key"}', "unknown"),
        (401, b"<html>", "unknown"),
        (403, b"[" * 5000, "unknown"),
        (403, b'{"msg": "' + b"x" * 300_000 + b'"}', "unknown"),
        (404, b'{"message": "no Route matched with those values"}', "unknown"),
        (429, b'{"code": 429, "msg": "rate limit"}', "unknown"),
        (500, b'{"msg": "oops"}', "unknown"),
        (302, b"", "unknown"),
        # Answers of another server, or about another user.
        (200, b"<html>We are back soon.", "unknown"),
        (200, b"", "unknown"),
        (200, b"[]", "unknown"),
        (200, b'{"id": "11111111-2222-4333-8444-555555555556"}', "unknown"),
        (200, b'{"id": "11111111-2222-4333-8444-555555555555", "x": "' + b"x" * 300_000 + b'"}', "unknown"),
        (204, b"", "unknown"),
    ],
)
async def test_only_its_own_answer_ends_a_session(
    auth: SupabaseAuth, caplog: pytest.LogCaptureFixture, status: int, body: bytes, outcome: str
) -> None:
    asked = sessions(auth, every=0, cooldown=0)
    assert await check(asked, "known") == "fine"
    auth.status, auth.body = status, body
    with caplog.at_level(logging.WARNING):
        assert await check(asked, "new") == outcome
        # A session that was known goes on unless it is ended.
        assert await check(asked, "known") == ("ended" if outcome == "ended" else "fine")
    assert ("does not say" in caplog.text) is (outcome == "unknown")
    assert token("new") not in caplog.text


async def test_during_an_outage_its_last_answer_holds_and_nobody_waits(auth: SupabaseAuth) -> None:
    auth.ended.add("b")
    asked = sessions(auth, every=0)
    assert (await check(asked, "a"), await check(asked, "b")) == ("fine", "ended")
    auth.status = 503
    assert [await check(asked, session) for session in "abcabc"] == ["fine", "ended", "unknown"] * 2
    # One question found out, and no more are asked for a while.
    assert sum(auth.asked.values()) == 3


@pytest.mark.parametrize(
    ("status", "outcome"), [(400, "fine"), (431, "fine"), (401, "unknown"), (502, "unknown")]
)
async def test_a_token_that_it_refuses_does_not_shut_out_others(
    auth: SupabaseAuth, status: int, outcome: str
) -> None:
    """A user's metadata is in their token, which becomes as long as they like."""
    asked = sessions(auth)
    auth.status = status
    assert await check(asked, "a") == "unknown"
    auth.status = None
    assert await check(asked, "b") == outcome


async def test_an_address_without_a_server_is_one_that_does_not_answer() -> None:
    asked = ProviderSessions("http://127.0.0.1:1", ANON_KEY, 60)
    assert await check(asked, "a") == "unknown"


async def test_what_is_remembered_is_bounded(auth: SupabaseAuth) -> None:
    asked = sessions(auth, remembered=3)
    for session in "abcadabe":
        assert await check(asked, session) == "fine"
    # The least recently used are dropped: b for d, c before or after.
    assert auth.asked == {"a": 1, "b": 2, "c": 1, "d": 1, "e": 1}
    assert len(asked._seen) == 3
    assert not asked._asking


async def test_an_open_connection_ends_with_its_session(api: Api, auth: SupabaseAuth) -> None:
    settings = api.services.settings.model_copy(update={"session_check_seconds": 0.1})
    object.__setattr__(api.services, "settings", settings)
    tokens = TokenVerifier(settings)
    tokens._sessions = sessions(auth, every=0.1, cooldown=0)
    object.__setattr__(api.services, "tokens", tokens)
    async with (
        serving_api(api.app) as server,
        server.listen(headers={"Authorization": f"Bearer {token('a')}"}) as socket,
        server.listen(headers={"Authorization": f"Bearer {token('b')}"}) as other,
        server.listen() as guest,
    ):
        for each in (socket, other, guest):
            await each.hello()
        # A provider that is away ends nothing.
        auth.status = 503
        refused = auth.asked["b"] + 2
        await until(lambda: auth.asked["b"] >= refused)
        auth.status = None
        auth.ended.add("a")
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await socket.next()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 4401
        for each in (other, guest):
            await each.say('{"type": "ping"}')
            await each.until("pong")
