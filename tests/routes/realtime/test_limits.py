"""No client takes more than its share."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import AsyncExitStack

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from semblance.errors import OverloadedError
from semblance.settings import Settings
from serve_app.realtime.hub import Hub
from serve_app.realtime.subscription import MESSAGES_PER_S, MOST_MESSAGES, QUEUE_LIMIT, Pace
from tests.support.api import Api, User
from tests.support.realtime import Server, add_message, connect_users, notify
from tests.support.waiting import until


async def test_a_slow_client_is_dropped_while_others_go_on(
    api: Api, server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far off, so that it is the queue that fills.
    monkeypatch.setattr("serve_app.api.routes.realtime.WINDOW_BYTES", 1 << 30)
    database = api.services.database
    chat = await connect_users(database, ada.id, bob.id)
    async with (
        server.listen(bob, channels="messages") as quick,
        server.listen(ada, channels="messages") as slow,
    ):
        await quick.hello()
        await slow.hello()
        slow.connection.transport.pause_reading()
        received = 0
        text = uuid.uuid4().hex * 100
        while api.services.hub.clients == 2:
            async with database.transaction() as connection:
                await connection.execute(
                    "INSERT INTO messages (connection_id, sender_id, content)"
                    " SELECT $1, $2, $3 || n FROM generate_series(1, 100) AS n",
                    chat, ada.id, text,
                )  # fmt: skip
            for _ in range(100):
                await quick.next()
                received += 1
            assert received < 20_000
        assert received > QUEUE_LIMIT
        await notify(database, bob.id)
        await add_message(database, chat, ada.id, "still here")
        assert (await quick.next())["data"]["content"] == "still here"
        slow.connection.transport.resume_reading()
        with pytest.raises(ConnectionClosed):
            for _ in range(received + 1):
                await slow.next()


async def test_a_client_that_never_answers_is_sent_no_more_than_a_window(
    api: Api, server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.api.routes.realtime.WINDOW_BYTES", 20_000)
    database = api.services.database
    chat = await connect_users(database, ada.id, bob.id)
    async with (
        server.listen(bob, channels="messages") as answering,
        server.listen(ada, channels="messages") as mute,
    ):
        await answering.hello()
        await mute.hello()
        asked = 0
        for _ in range(40):
            await add_message(database, chat, ada.id, "x" * 1000)
            while (await answering.next())["type"] == "ping":
                asked += 1
                await answering.say('{"type": "pong"}')
        assert asked >= 2
        code, _ = await mute.closed()
        assert code == 1013


async def test_connections_of_a_profile_are_limited(
    api: Api, server: Server, ada: User, api_settings: Settings
) -> None:
    most = api_settings.realtime_max_sockets_per_profile
    async with asyncio.TaskGroup() as group:
        done = asyncio.Event()

        async def hold() -> None:
            async with server.listen(ada) as socket:
                await socket.hello()
                await done.wait()

        for _ in range(most):
            group.create_task(hold())
        await until(lambda: api.services.hub.clients == most)
        async with server.listen(ada) as socket:
            assert (await socket.closed())[0] == 4429
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{server.http}/api/realtime/events", headers=ada.headers)
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) > 0
        async with server.listen() as guest:
            await guest.hello()
        done.set()


async def test_guests_leave_room_for_users(api: Api, ada: User, api_settings: Settings) -> None:
    services = api.services
    settings = api_settings.model_copy(update={"realtime_max_sockets": 4})
    hub = Hub(settings, services.database, services.db, services.storage, services.scale)
    async with AsyncExitStack() as held:

        async def join(user: User | None) -> None:
            await held.enter_async_context(hub.join(user.id if user else None, ["feed"], "http://x"))

        for _ in range(3):
            await join(None)
        with pytest.raises(OverloadedError):
            await join(None)
        await join(ada)
        with pytest.raises(OverloadedError):
            await join(ada)


@pytest.mark.parametrize("message", ["[" * 1025, b"\0" * 1025], ids=["text", "bytes"])
async def test_a_client_with_much_to_say_is_dropped(server: Server, message: str | bytes) -> None:
    async with server.listen() as socket:
        await socket.hello()
        await socket.connection.send(message)
        with pytest.raises(ConnectionClosed):
            await socket.next()
        assert socket.connection.close_code == 1009


async def test_a_client_that_floods_the_server_is_dropped_while_others_go_on(server: Server) -> None:
    async with server.listen() as other, server.listen() as socket:
        await other.hello()
        await socket.hello()
        for _ in range(1000):
            await socket.say('{"type": "ping"}')
        code, reason = await socket.closed()
        assert (code, "too many messages" in reason) == (1008, True)
        await other.say('{"type": "ping"}')
        assert await other.next() == {"type": "pong"}


def test_a_client_that_keeps_the_pace_may_go_on() -> None:
    pace = Pace(1000.0)
    assert all(pace.allows(1000.0) for _ in range(MOST_MESSAGES))
    steps = [1000.0 + 1.01 * step / MESSAGES_PER_S for step in range(1, 1000)]
    assert all(pace.allows(now) for now in steps)
    assert not all(pace.allows(steps[-1]) for _ in range(MOST_MESSAGES))
    # After silence of any length it may send no more at once than in the beginning.
    assert all(pace.allows(9000.0) for _ in range(MOST_MESSAGES))
    assert not pace.allows(9000.0)
