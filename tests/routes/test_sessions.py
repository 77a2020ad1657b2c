"""Signing out: what it ends, for whom, on which replicas, and what it leaves alone."""

from __future__ import annotations

import time
import uuid

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from db.queries import queries
from db.repositories import Repositories
from db.secret_hash import secret_hash
from serve_app.auth import LEEWAY_S
from serve_app.realtime.hub import Hub, Timing
from tests.support.api import Api, make_token
from tests.support.realtime import caught_up, serving
from tests.support.waiting import PATIENCE_S, wait_until

SUBJECT = uuid.UUID("11111111-2222-4333-8444-555555555555")


def bearer(**claims: object) -> dict[str, str]:
    """The headers of one of Ada's tokens."""
    return {"Authorization": f"Bearer {make_token(SUBJECT, 'ada@mit.edu', **claims)}"}


async def me(api: Api, headers: dict[str, str]) -> int:
    return (await api.client.get("/api/auth/me", headers=headers)).status_code


async def log_out(api: Api, headers: dict[str, str]) -> httpx.Response:
    return await api.client.post("/api/auth/logout", headers=headers)


@pytest.mark.parametrize(
    ("ended", "same", "other"),
    [
        ({"jti": "a"}, {"jti": "a", "iat": 1}, {"jti": "b"}),
        # A token that was refreshed is of the same session.
        ({"jti": "a", "session_id": "s"}, {"jti": "b", "session_id": "s"}, {"jti": "a", "session_id": "t"}),
        ({"session_id": "s"}, {"session_id": "s", "iat": 1}, {"session_id": "t"}),
        # The id of a session is not that of a token.
        ({"session_id": "s"}, {"session_id": "s", "iat": 2}, {"jti": "s"}),
        # Invalid ids.
        ({"jti": "a", "session_id": ""}, {"jti": "a", "session_id": None}, {"jti": "b"}),
        ({"iat": 1}, {"iat": 1}, {"iat": 2}),
        ({"iat": 1, "session_id": ["s"]}, {"iat": 1, "session_id": ["s"]}, {"iat": 2, "session_id": ["s"]}),
    ],
)
async def test_it_ends_the_tokens_of_its_session_and_no_others(
    api: Api, ended: dict[str, object], same: dict[str, object], other: dict[str, object]
) -> None:
    end = int(time.time()) + 3600
    ours, refreshed, foreign = (bearer(exp=end, **claims) for claims in (ended, same, other))
    assert await me(api, ours) == 200
    assert (await log_out(api, ours)).status_code == 204
    answer = await api.client.get("/api/auth/me", headers=ours)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert await me(api, refreshed) == 401
    assert await me(api, foreign) == 200


@pytest.mark.parametrize("iat", [-60, -3600, -7200, None, -1e300, 5])
async def test_a_token_that_was_refreshed_before_does_not_outlive_the_end(
    api: Api, iat: float | None
) -> None:
    """A token issued now would last as long as this one did."""
    now = int(time.time())
    claims = {} if iat is None else {"iat": now + iat}
    ours = bearer(session_id="s", exp=now + 60, **claims)
    assert (await log_out(api, ours)).status_code == 204
    [row] = await api.owner.fetch("SELECT extract(epoch FROM expires_at)::float8 AS at FROM revoked_sessions")
    if iat is None:
        assert row["at"] == now + 60 + LEEWAY_S
    else:
        assert row["at"] >= now + min(60 - iat, 1e9) + LEEWAY_S
    await api.services.db.sessions.prune()
    assert await me(api, bearer(session_id="s", exp=now + 3600)) == 401


async def test_nobody_ends_the_session_of_somebody_else(api: Api) -> None:
    """Even if a provider lets its users choose what is in their tokens."""
    assert (await log_out(api, bearer(session_id="s"))).status_code == 204
    other = {"Authorization": f"Bearer {make_token(uuid.uuid4(), 'bob@mit.edu', session_id='s')}"}
    assert await me(api, other) == 200


async def test_an_unseen_token_can_be_revoked_and_stays_so_without_its_profile(api: Api) -> None:
    ours = bearer(session_id="s")
    assert (await log_out(api, ours)).status_code == 204
    await api.owner.execute("DELETE FROM profiles WHERE id = $1", SUBJECT)
    assert await me(api, ours) == 401
    assert await api.owner.fetchval("SELECT count(*) FROM profiles WHERE id = $1", SUBJECT) == 0


async def test_it_holds_wherever_a_token_is_taken(api: Api) -> None:
    ours = bearer(session_id="s")
    assert (await log_out(api, ours)).status_code == 204
    for method, path in (
        ("GET", "/api/matches/top"),
        ("GET", "/api/notifications"),
        ("POST", "/api/faces"),
        ("GET", "/api/admin/settings"),
        ("POST", "/api/auth/logout"),
        ("GET", "/api/realtime/events"),
    ):
        answer = await api.client.request(method, path, headers=ours)
        assert answer.status_code == 401, path
    token = ours["Authorization"].removeprefix("Bearer ")
    assert (await api.client.get("/api/realtime/events", params={"access_token": token})).status_code == 401


async def test_nothing_is_stored_that_opens_anything(api: Api) -> None:
    ours = bearer(session_id="s")
    await log_out(api, ours)
    rows = await api.owner.fetch("SELECT revoked_sessions::text AS text FROM revoked_sessions")
    events = await api.owner.fetch("SELECT payload::text AS text FROM events WHERE type = 'session_ended'")
    assert len(rows) == len(events) == 1
    for row in (*rows, *events):
        assert ours["Authorization"].split(".")[2] not in row["text"]


async def test_open_connections_of_the_session_end_on_every_replica(api: Api) -> None:
    """The socket is on one replica; the request that ends its session might reach any."""
    ours, other = bearer(session_id="s"), bearer(session_id="t")
    async with (
        serving(api.app) as server,
        server.listen(headers=ours) as mine,
        server.listen(headers=other) as theirs,
    ):
        await mine.hello()
        await theirs.hello()
        # As another replica would.
        await Repositories.of(api.services.database).sessions.revoke(
            await key_of(api, ours), SUBJECT, time.time() + 60
        )
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                assert (await mine.next())["type"] != "session_ended"
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (
            4401,
            "This session was ended. Sign in again.",
        )
        await theirs.say('{"type": "ping"}')
        assert (await theirs.until("pong"))["type"] == "pong"


async def test_a_stream_of_the_session_ends(api: Api) -> None:
    ours = bearer(session_id="s")
    async with (
        serving(api.app) as server,
        httpx.AsyncClient(base_url=server.http, headers=ours, timeout=PATIENCE_S) as client,
        client.stream("GET", "/api/realtime/events") as stream,
    ):
        lines = stream.aiter_lines()
        while await anext(lines) != "event: hello":
            pass
        await log_out(api, ours)
        rest = [line async for line in lines]
        assert "event: end" in rest
        assert not any("session_ended" in line for line in rest)


async def test_a_connection_that_begins_while_its_session_ends_does_not_outlive_it(api: Api) -> None:
    """Checked before, known to the hub after: the end falls between the two."""
    ours = bearer(session_id="s")
    key = await key_of(api, ours)
    assert (await api.client.get("/api/auth/me", headers=ours)).status_code == 200
    hub = api.services.hub
    async with hub.join(SUBJECT, ["feed"], "http://api", session=key) as client:
        assert client.end is None
    await api.services.db.sessions.revoke(key, SUBJECT, time.time() + 60)
    async with hub.join(SUBJECT, ["feed"], "http://api", session=key) as client:
        assert client.end is not None


async def test_a_connection_that_begins_while_its_admin_stops_being_one_does_not_outlive_it(
    api: Api,
) -> None:
    admin = await api.member("Ada", role="admin")
    key = await key_of(api, admin.headers)
    hub = api.services.hub
    await api.owner.execute("UPDATE profiles SET role = 'user' WHERE id = $1", admin.id)
    await caught_up(api.services)  # It has told of the end before it knows the client.
    async with hub.join(admin.id, ["admin"], "http://api", session=key) as client:
        assert client.end is not None
    async with hub.join(admin.id, ["feed"], "http://api", session=key) as client:
        assert client.end is None


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE console_sessions SET revoked_at = now()",
        # Its sessions go with the profile.
        "DELETE FROM profiles",
    ],
)
async def test_a_console_that_begins_to_listen_while_its_session_ends_does_not_outlive_it(
    api: Api, change: str
) -> None:
    admin = await api.member("Ada", role="admin")
    opened = await api.services.db.console_sessions.open_for(admin.id, bytes(32))
    hub, key = api.services.hub, secret_hash(opened.token)
    async with hub.join(None, ["admin"], "http://api", session=key) as client:
        assert client.end is None
    await api.owner.execute(change)
    await caught_up(api.services)
    async with hub.join(None, ["admin"], "http://api", session=key) as client:
        assert client.end is not None


async def test_expired_sessions_are_forgotten(api: Api) -> None:
    now = time.time()
    sessions = api.services.db.sessions
    for number, end in enumerate((now - 3600, now - 1, now + 60, 253_402_300_809.0)):
        await sessions.revoke(bytes([number]) * 32, SUBJECT, end)
    await sessions.revoke(bytes([1]) * 32, SUBJECT, now + 60)  # The first end stays.
    services = api.services
    hub = Hub(
        services.settings,
        services.database,
        services.db,
        services.storage,
        services.scale,
        timing=Timing(tidy=0.01),
    )
    await hub.start()
    try:
        await wait_until(api.owner, "SELECT count(*) = 2 FROM revoked_sessions")
    finally:
        await hub.close()
    assert await me(api, bearer(session_id="s")) == 200
    assert [await sessions.has_ended(bytes([number]) * 32, SUBJECT) for number in range(4)] == [
        False, False, True, True,
    ]  # fmt: skip


async def test_a_session_is_found_by_index(api: Api) -> None:
    await api.owner.execute(
        """
        INSERT INTO revoked_sessions (key, profile_id, expires_at)
        SELECT sha256(i::text::bytea), gen_random_uuid(), now() + interval '1 hour'
        FROM generate_series(1, 5000) AS i
        """
    )
    await api.owner.execute("ANALYZE revoked_sessions")

    for name, arguments in (
        ("get_profile_of_session", (SUBJECT, bytes(32))),
        ("has_session_ended", (bytes(32), SUBJECT, True)),
    ):
        plan = "\n".join(row[0] for row in await api.owner.fetch(f"EXPLAIN {queries[name]}", *arguments))
        assert "revoked_sessions_pkey" in plan
        assert "Seq Scan" not in plan


async def key_of(api: Api, headers: dict[str, str]) -> bytes:
    claims = await api.services.tokens.verify(headers["Authorization"].removeprefix("Bearer "))
    return claims.session.key
