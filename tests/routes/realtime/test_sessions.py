"""Who may connect, and how a connection begins and ends."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
import pytest

from serve_app.auth import LEEWAY_S
from tests.support.api import Api, User, make_token
from tests.support.realtime import Server
from tests.support.waiting import until


async def test_an_expired_token_ends_the_connection(
    api: Api, server: Server, expiries: list[tuple[float, Callable[[], None]]]
) -> None:
    ada = await api.member("Ada")
    token = make_token(ada.id, ada.email, exp=int(time.time()) + 100)
    async with server.listen(headers={"Authorization": f"Bearer {token}"}) as socket:
        await socket.hello()
        [(seconds, expire)] = expiries
        assert LEEWAY_S < seconds <= 100 + LEEWAY_S
        expire()
        code, reason = await socket.closed()
    assert code == 4401
    assert "expired" in reason
    await until(lambda: api.services.hub.clients == 0)
    token = make_token(ada.id, ada.email, exp=int(time.time()) - LEEWAY_S - 1)
    async with server.listen(headers={"Authorization": f"Bearer {token}"}) as socket:
        assert (await socket.closed())[0] == 4401


async def test_a_browser_sends_its_token_in_the_query_or_as_a_subprotocol(
    api: Api, server: Server, ada: User
) -> None:
    token = ada.headers["Authorization"].removeprefix("Bearer ")
    async with server.listen(access_token=token, channels="jobs") as socket:
        assert (await socket.hello())["data"]["channels"] == ["jobs"]
    headers = {"Sec-WebSocket-Protocol": f"bearer, {token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.get(
            f"{server.http}/api/realtime",
            headers={
                **headers,
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            },
        )
    assert answer.status_code == 101
    assert answer.headers["sec-websocket-protocol"] == "bearer"


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ({"channels": "feed,gossip"}, {}, 400),
        ({"channels": ""}, {}, 400),
        ({"last_event_id": "seven"}, {}, 400),
        ({"last_event_id": "9" * 19}, {}, 400),
        ({"channels": "feed,jobs"}, {}, 401),
        ({}, {"Authorization": "Bearer nonsense"}, 401),
        ({}, {"Authorization": "Basic YTpi"}, 401),
        ({"access_token": "a.b.c"}, {}, 401),
    ],
)
async def test_refusals_can_be_read(
    server: Server, query: dict[str, str], headers: dict[str, str], status: int
) -> None:
    async with server.listen(None, headers=headers, **query) as socket:
        code, reason = await socket.closed()
        assert code == 4000 + status
        assert reason
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{server.http}/api/realtime/events", params=query, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"]
        assert answer.json()["request_id"]


async def test_a_request_without_an_upgrade_is_told_where_to_go(api: Api) -> None:
    answer = await api.client.get("/api/realtime")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")
    assert "/api/realtime/events" in answer.json()["error"]


async def test_a_user_outside_edu_is_refused(api: Api, server: Server) -> None:
    async with server.listen(api.user("ada@example.com")) as socket:
        assert (await socket.closed())[0] == 4403


async def test_a_client_may_ask_whether_the_server_lives(server: Server) -> None:
    async with server.listen() as socket:
        await socket.hello()
        for nonsense in ("", "null", "[1]", '{"type": 7}', "[" * 1024):
            await socket.say(nonsense)
        await socket.connection.send(b"\x00\xff")
        await socket.say('{"type": "ping"}')
        assert await socket.next() == {"type": "pong"}
