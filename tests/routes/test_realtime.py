from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import psycopg
import pytest
from websockets.exceptions import ConnectionClosed

from db.events import Event, Events
from db.matches import Match, Matches
from db.pool import Database
from semblance.errors import OverloadedError
from semblance.settings import Settings
from serve_app.auth import LEEWAY_S
from serve_app.realtime.frames import Channel
from serve_app.realtime.hub import Hub, Timing
from serve_app.realtime.subscription import MESSAGES_PER_S, MOST_MESSAGES, QUEUE_LIMIT, Pace
from tests.support.api import Api, User, make_token
from tests.support.realtime import (
    Server,
    Socket,
    add_face,
    add_match,
    add_message,
    connect_users,
    notify,
    serving,
)


@pytest.fixture
async def server(api: Api) -> AsyncIterator[Server]:
    async with serving(api.app) as running:
        yield running


@pytest.fixture
async def ada(api: Api) -> User:
    return await api.member("Ada")


@pytest.fixture
async def bob(api: Api) -> User:
    return await api.member("Bob", gender="male")


async def closed(socket: Socket) -> tuple[int, str]:
    """Code and reason with which the server closes it, skipping all earlier events."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await socket.next(10)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def test_a_new_match_reaches_guests_as_the_feed_shows_it(
    api: Api, server: Server, ada: User, bob: User
) -> None:
    database = api.services.database
    faces = [await add_face(database, user.id) for user in (ada, bob)]
    async with server.listen() as guest:
        hello = await guest.hello()
        assert hello["data"] == {"channels": ["feed"]}
        match = await add_match(database, faces[0], faces[1], 0.875)
        event = await guest.next()
    assert event["type"] == "matches"
    assert event["id"] > hello["id"]
    assert event["created_at"].endswith("+00:00")
    feed = (await api.client.get("/api/matches/top")).json()["matches"]
    (shown,) = event["data"]["matches"]
    assert event["data"]["count"] == 1
    assert not event["data"]["more"]
    assert shown["id"] == str(match)
    assert shown.keys() == feed[0].keys()
    assert shown["similarity_percentage"] == 88
    assert shown["my_reaction"] == []
    assert {person["name"] for person in shown["users"].values()} == {"Ada", "Bob"}
    assert shown["users"]["a"]["image"].startswith(f"{server.http}/objects/faces/x.jpg?")


async def test_matches_of_the_user_without_the_feed(api: Api, server: Server, ada: User, bob: User) -> None:
    database = api.services.database
    stranger = await api.member("Cleo")
    faces = [await add_face(database, user.id) for user in (ada, bob, stranger)]
    async with server.listen(ada, channels="matches") as socket:
        await socket.hello()
        await add_match(database, faces[1], faces[2])
        mine = await add_match(database, faces[0], faces[1])
        event = await socket.next()
        assert [match["id"] for match in event["data"]["matches"]] == [str(mine)]
        assert event["data"]["count"] == 1


async def test_many_matches_at_once_are_one_event(api: Api, server: Server, ada: User, bob: User) -> None:
    database = api.services.database
    faces = [await add_face(database, user.id) for user in (ada, bob)]
    async with server.listen() as guest, server.listen(ada, channels="matches") as own:
        await guest.hello()
        await own.hello()
        async with database.transaction() as connection:
            others = await connection.fetch(
                "INSERT INTO faces (profile_id, image_path)"
                " SELECT $1, 'faces/y.jpg' FROM generate_series(1, 600) RETURNING id",
                bob.id,
            )
            for chosen, face in ((others[:30], faces[0]), (others, faces[1])):
                await connection.execute(
                    """
                    INSERT INTO matches (face_a_id, face_b_id, similarity_score)
                    SELECT least($1, other), greatest($1, other), 0.5 FROM unnest($2::uuid[]) AS other
                    """,
                    face, [row["id"] for row in chosen],
                )  # fmt: skip
        feed, bulk = (await guest.next())["data"], (await guest.next())["data"]
        assert (len(feed["matches"]), feed["count"], feed["more"]) == (20, 30, True)
        assert (len(bulk["matches"]), bulk["count"], bulk["more"]) == (20, 600, True)
        mine = (await own.next())["data"]
        assert (len(mine["matches"]), mine["count"], mine["more"]) == (30, 30, False)
        # Too many to be named: the user's may be among them.
        assert (await own.next())["data"] == {"matches": [], "count": 0, "more": True}
        assert await guest.quiet()


async def test_jobs_messages_and_notifications_reach_only_those_they_are_for(
    api: Api, server: Server, ada: User, bob: User
) -> None:
    database = api.services.database
    stranger = await api.member("Cleo")
    chat = await connect_users(database, ada.id, bob.id)
    personal = "jobs,messages,notifications"
    _, newest = await api.services.db.events.kept()
    async with asyncio.timeout(5):
        while api.services.hub._position < newest:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
    async with (
        server.listen(ada, channels=personal) as to_ada,
        server.listen(bob, channels=personal) as to_bob,
        server.listen(stranger, channels=personal) as to_stranger,
    ):
        for socket in (to_ada, to_bob, to_stranger):
            await socket.hello()
        face = await add_face(database, ada.id)
        job = await to_ada.next()
        assert job["type"] == "job"
        assert (job["data"]["status"], job["data"]["face_id"]) == ("pending", str(face))
        await database.execute("UPDATE match_jobs SET status = 'completed' WHERE face_id = $1", face)
        assert (await to_ada.next())["data"]["status"] == "completed"
        await database.execute("UPDATE match_jobs SET attempts = 1 WHERE face_id = $1", face)

        message = await add_message(database, chat, ada.id, "Hi “Bob”\n😀")
        for socket in (to_ada, to_bob):
            event = await socket.next()
            assert event["type"] == "message"
            assert event["data"]["id"] == str(message)
            assert event["data"]["content"] == "Hi “Bob”\n😀"
            assert event["data"]["sender_id"] == str(ada.id)
        await add_message(database, chat, ada.id)
        await to_ada.next(), await to_bob.next()
        await database.execute("UPDATE messages SET read_at = now() WHERE connection_id = $1", chat)
        for socket in (to_ada, to_bob):
            event = await socket.next()
            assert event["type"] == "message_read"
            assert event["data"]["count"] == len(event["data"]["ids"]) == 2

        first = await notify(database, bob.id)
        event = await to_bob.next()
        assert event["type"] == "notifications"
        assert [item["id"] for item in event["data"]["notifications"]] == [str(first)]
        listed = (await api.client.get("/api/notifications", headers=bob.headers)).json()["notifications"]
        assert event["data"]["notifications"][0].keys() == listed[0].keys()
        await notify(database, bob.id)
        await to_bob.next()
        answer = await api.client.post("/api/notifications/read-all", headers=bob.headers)
        assert answer.is_success
        event = await to_bob.next()
        assert event["data"]["count"] == 2
        assert all(item["read_at"] for item in event["data"]["notifications"])
        for socket in (to_ada, to_bob, to_stranger):
            assert await socket.quiet(0.2)


async def test_what_is_rolled_back_is_not_sent(api: Api, server: Server, ada: User) -> None:
    async with server.listen(ada, channels="notifications") as socket:
        await socket.hello()
        with pytest.raises(ZeroDivisionError):
            async with api.services.database.transaction() as connection:
                await connection.execute(
                    "INSERT INTO notifications (user_id, type, title) VALUES ($1, 'mutual_match', 'no')",
                    ada.id,
                )
                raise ZeroDivisionError
        await notify(api.services.database, ada.id, "yes")
        event = await socket.next()
        assert [item["title"] for item in event["data"]["notifications"]] == ["yes"]


async def test_nothing_is_lost_or_told_twice_over_a_drop(
    api: Api, server: Server, ada: User, bob: User
) -> None:
    database = api.services.database
    chat = await connect_users(database, ada.id, bob.id)
    got: list[dict[str, object]] = []
    sent: list[str] = []

    async def write(count: int) -> None:
        for _ in range(count):
            sent.append(str(await add_message(database, chat, bob.id)))
            await notify(database, bob.id)

    async with server.listen(ada, channels="messages") as socket:
        last = (await socket.hello())["id"]
        await write(3)
        for _ in range(2):
            got.append(await socket.next())
    last = got[-1]["id"]
    await write(150)
    # It goes on while the client reconnects, several times, at every stage of catching up.
    writing = asyncio.create_task(write(150))
    for _ in range(8):
        async with server.listen(ada, headers={"Last-Event-ID": str(last)}, channels="messages") as socket:
            assert (await socket.hello())["id"] == last
            for _ in range(25):
                event = await socket.next()
                if event["type"] == "message":
                    got.append(event)
                last = event["id"]
    await writing
    async with server.listen(ada, last_event_id=last, channels="messages") as socket:
        await socket.hello()
        while len(got) < len(sent):
            got.append(await socket.next())
        assert await socket.quiet()
    assert [event["data"]["id"] for event in got] == sent  # type: ignore[index]
    ids = [event["id"] for event in got]
    assert ids == sorted(set(ids))  # type: ignore[type-var]


async def test_a_last_event_that_is_no_longer_stored_causes_a_reset(
    api: Api, server: Server, ada: User
) -> None:
    database = api.services.database
    async with server.listen(ada, channels="notifications") as socket:
        await socket.hello()
        await notify(database, ada.id)
        first = (await socket.next())["id"]
        for _ in range(3):
            await notify(database, ada.id)
            await socket.next()
    await api.owner.execute("UPDATE events SET created_at = now() - interval '11 minutes'")
    async with server.listen(ada, channels="notifications", last_event_id=first) as socket:
        await socket.hello()
        assert [(await socket.next())["type"] for _ in range(3)] == ["notifications"] * 3
    await api.services.db.events.prune(Timing().keep)
    for last in (first, 10**16):
        async with server.listen(ada, channels="notifications", last_event_id=last) as socket:
            assert (await socket.hello())["id"] == last
            reset = await socket.next()
            assert reset["type"] == "reset"
            await notify(database, ada.id)
            event = await socket.next()
            assert event["type"] == "notifications"
            assert event["id"] > reset["id"]


async def test_what_is_removed_while_a_client_reads_what_it_missed_causes_a_reset(
    api: Api, ada: User
) -> None:
    hub, events = api.services.hub, api.services.db.events
    await notify(api.services.database, ada.id)
    first = (await events.kept())[1]
    for _ in range(25):
        await notify(api.services.database, ada.id)
    await hub._catch_up()
    async with hub.join(ada.id, ["notifications"], "http://api", first) as client:
        frames = hub.frames(client)
        assert [frame.type for frame in await anext(frames)] == ["hello"]
        read = await anext(frames)
        assert {frame.type for frame in read} == {"notifications"}
        await api.owner.execute("UPDATE events SET created_at = now() - interval '11 minutes'")
        await events.prune(Timing().keep)
        [reset] = await anext(frames)
        assert (reset.type, reset.id) == ("reset", client.joined_at)
        await notify(api.services.database, ada.id)
        await hub._catch_up()
        [frame] = await anext(frames)
        assert frame.type == "notifications"
        await frames.aclose()


async def test_a_replica_that_is_behind_sends_nothing_twice(
    api: Api, api_settings: Settings, ada: User
) -> None:
    """The client comes from another replica, which had sent it more than this one has read."""
    services = api.services
    behind = Hub(api_settings, services.database, services.db, services.storage, services.scale)
    for _ in range(3):
        await notify(services.database, ada.id)
    _, newest = await services.db.events.kept()
    async with behind.join(ada.id, ["notifications"], "http://x", newest) as client:
        await behind._catch_up()
        await notify(services.database, ada.id, "after")
        await behind._catch_up()
        frames = behind.frames(client)
        assert [frame.type for frame in await anext(frames)] == ["hello"]
        assert ["after" in frame.text for frame in await anext(frames)] == [True]
        await frames.aclose()


@pytest.mark.usefixtures("can_listen")
async def test_a_lost_listening_connection_loses_no_event(
    api: Api, server: Server, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.listen.POLL_SECONDS", 0.2)
    async with server.listen(ada, channels="notifications") as socket:
        await socket.hello()
        with psycopg.connect(api.dsn, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE query LIKE 'LISTEN%' AND datname = current_database()"
            ).fetchall()
            assert ended == [(True,)]
            for number in range(20):
                connection.execute(
                    "INSERT INTO notifications (user_id, type, title) VALUES (%s, 'mutual_match', %s)",
                    [ada.id, str(number)],
                )
                await asyncio.sleep(0.02)
        titles = [(await socket.next())["data"]["notifications"][0]["title"] for _ in range(20)]
        assert titles == [str(number) for number in range(20)]


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
        code, _ = await closed(mute)
        assert code == 1013


async def test_an_expired_token_ends_the_connection(
    api: Api, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await api.member("Ada")
    token = make_token(ada.id, ada.email, exp=int(time.time()) - LEEWAY_S + 4)
    async with server.listen(headers={"Authorization": f"Bearer {token}"}) as socket:
        await socket.hello()
        code, reason = await closed(socket)
    assert code == 4401
    assert "expired" in reason
    assert api.services.hub.clients == 0
    async with server.listen(headers={"Authorization": f"Bearer {token}"}) as socket:
        assert (await closed(socket))[0] == 4401


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
        code, reason = await closed(socket)
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
        assert (await closed(socket))[0] == 4403


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
        while api.services.hub.clients < most:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
        async with server.listen(ada) as socket:
            assert (await closed(socket))[0] == 4429
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


async def test_guests_who_missed_much_take_turns_and_keep_nobody_else_waiting(
    api: Api, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, hub = api.services.database, api.services.hub
    face, *others = [await add_face(database, user.id) for user in (ada, bob, bob)]
    first = (await api.services.db.events.kept())[1]
    for other in others:
        await add_match(database, face, other)
    await notify(database, ada.id)
    await hub._catch_up()
    reading, most, go_on = 0, 0, asyncio.Event()
    visible = Events.visible

    async def slowly(self: Events, profile_id: uuid.UUID | None, *rest: Any, **named: Any) -> list[Event]:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        if profile_id is None:
            await go_on.wait()
        reading -= 1
        return await visible(self, profile_id, *rest, **named)

    monkeypatch.setattr(Events, "visible", slowly)

    async def missed(profile_id: uuid.UUID | None, channel: Channel) -> list[str]:
        async with hub.join(profile_id, [channel], "http://api", first, None) as client:
            frames = hub.frames(client)
            assert [frame.type for frame in await anext(frames)] == ["hello"]
            batch = await anext(frames)
            await frames.aclose()
            return [frame.type for frame in batch]

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        guests = [group.create_task(missed(None, "feed")) for _ in range(5)]
        while not reading:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.01)
        assert await missed(ada.id, "notifications") == ["notifications"]
        go_on.set()
    assert [guest.result() for guest in guests] == [["matches"] * 2] * 5
    assert most == 2  # A guest, and the user.


async def test_no_more_is_read_for_a_guest_who_missed_matches_than_is_shown(
    api: Api, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, hub = api.services.database, api.services.hub
    faces = [await add_face(database, user.id) for user in (ada, bob) for _ in range(10)]
    first = (await api.services.db.events.kept())[1]
    await database.execute(
        """
        INSERT INTO matches (face_a_id, face_b_id, similarity_score)
        SELECT least(a, b), greatest(a, b), 0.5 FROM unnest($1::uuid[]) AS a, unnest($2::uuid[]) AS b
        """,
        faces[:10], faces[10:],
    )  # fmt: skip
    await hub._catch_up()
    loaded: list[int] = []
    load = Matches.load

    async def counted(self: Matches, ids: list[uuid.UUID], viewer_id: uuid.UUID | None) -> list[Match]:
        loaded.append(len(ids))
        return await load(self, ids, viewer_id)

    monkeypatch.setattr(Matches, "load", counted)
    async with hub.join(None, ["feed"], "http://api", first) as client:
        frames = hub.frames(client)
        await anext(frames)
        [frame] = await anext(frames)
        await frames.aclose()
    data = json.loads(frame.text)["data"]
    assert (len(data["matches"]), data["count"], data["more"]) == (20, 100, True)
    assert loaded == [20]


async def test_a_client_may_ask_whether_the_server_lives(server: Server) -> None:
    async with server.listen() as socket:
        await socket.hello()
        for nonsense in ("", "null", "[1]", '{"type": 7}', "[" * 1024):
            await socket.say(nonsense)
        await socket.connection.send(b"\x00\xff")
        await socket.say('{"type": "ping"}')
        assert await socket.next() == {"type": "pong"}


@pytest.mark.parametrize("message", ["[" * 1025, b"\0" * 1025], ids=["text", "bytes"])
async def test_a_client_with_much_to_say_is_dropped(server: Server, message: str | bytes) -> None:
    async with server.listen() as socket:
        await socket.hello()
        await socket.connection.send(message)
        with pytest.raises(ConnectionClosed):
            await socket.quiet(5)
        assert socket.connection.close_code == 1009


async def test_a_client_that_floods_the_server_is_dropped_while_others_go_on(server: Server) -> None:
    async with server.listen() as other, server.listen() as socket:
        await other.hello()
        await socket.hello()
        for _ in range(1000):
            await socket.say('{"type": "ping"}')
        code, reason = await closed(socket)
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


async def test_silence_is_broken_by_pings_that_move_the_last_event_id(
    api: Api, server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = api.services.hub
    monkeypatch.setattr(hub, "_timing", Timing(ping=0.1))
    hub._tasks.append(asyncio.create_task(hub._ping()))
    async with server.listen(ada, channels="notifications") as socket:
        hello = await socket.hello()
        await notify(api.services.database, bob.id)
        async with asyncio.timeout(5):
            while (ping := await socket.next())["id"] == hello["id"]:
                assert ping["type"] == "ping"


async def wait_for(database: Database, user: User, *, online: bool) -> None:
    async with asyncio.timeout(5):
        query = "SELECT online FROM profiles WHERE id = $1"
        while await database.fetchval(query, user.id) != online:  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.02)


async def test_presence_over_two_replicas(
    api: Api, api_settings: Settings, server: Server, ada: User, bob: User
) -> None:
    services = api.services
    stranger = await api.member("Cleo")
    await connect_users(services.database, ada.id, bob.id)
    await connect_users(services.database, bob.id, stranger.id, status="blocked")
    other = Hub(api_settings, services.database, services.db, services.storage, services.scale)
    await other.start()
    async with (
        server.listen(ada, channels="presence") as to_ada,
        server.listen(stranger, channels="presence") as to_stranger,
    ):
        assert (await to_ada.hello())["data"]["online"] == []
        await to_stranger.hello()
        assert (await to_ada.next())["data"]["profile_id"] == str(ada.id)
        assert (await to_stranger.next())["data"]["profile_id"] == str(stranger.id)
        async with server.listen(bob, channels="presence") as here:
            assert (await here.hello())["data"]["online"] == [str(ada.id)]
            event = await to_ada.next()
            assert event["type"] == "presence"
            assert event["data"] == {"profile_id": str(bob.id), "online": True, "last_seen": None}
            async with other.join(bob.id, ["feed"], "http://x"):
                await here.connection.close()
                assert await to_ada.quiet()
        event = await to_ada.next()
        assert (event["data"]["profile_id"], event["data"]["online"]) == (str(bob.id), False)
        assert event["data"]["last_seen"] is not None
        assert await to_stranger.quiet()
    await wait_for(services.database, ada, online=False)
    await other.close()
    assert await services.database.fetchval("SELECT count(*) FROM realtime_sessions") == 0


async def test_a_replica_that_is_gone_leaves_nobody_online(
    api: Api, api_settings: Settings, ada: User, bob: User
) -> None:
    services = api.services
    timing = Timing(beat=0.1)
    gone = Hub(api_settings, services.database, services.db, services.storage, services.scale, timing=timing)
    await gone.start()
    async with gone.join(ada.id, ["feed"], "http://x"):
        await wait_for(services.database, ada, online=True)
        for task in gone._tasks:
            task.cancel()
        await asyncio.wait(gone._tasks)
        await services.database.execute("UPDATE realtime_replicas SET seen_at = now() - interval '50 s'")
        others = [
            Hub(api_settings, services.database, services.db, services.storage, services.scale, timing=timing)
            for _ in range(2)
        ]
        await asyncio.gather(*(hub.start() for hub in others))
        await wait_for(services.database, ada, online=False)
        assert await services.database.fetchval(
            "SELECT last_seen > now() - interval '1 minute' FROM profiles WHERE id = $1", ada.id
        )
        # It was only asleep: it finds out at its next sign of life.
        gone._tasks = [asyncio.create_task(gone._keep_presence())]
        await wait_for(services.database, ada, online=True)
    await wait_for(services.database, ada, online=False)
    for hub in (gone, *others):
        await hub.close()


async def test_people_who_come_and_go_at_once_end_up_offline(
    api: Api, api_settings: Settings, ada: User
) -> None:
    services = api.services
    sessions = services.db.realtime_sessions
    replica = uuid.uuid4()
    await sessions.seen(replica)

    async def visit() -> None:
        for _ in range(10):
            session = uuid.uuid4()
            await sessions.open(session, ada.id, replica)
            assert await services.database.fetchval("SELECT online FROM profiles WHERE id = $1", ada.id)
            await sessions.close(session)

    await asyncio.gather(*(visit() for _ in range(6)))
    assert not await services.database.fetchval("SELECT online FROM profiles WHERE id = $1", ada.id)
    told = await services.database.fetch("SELECT payload FROM events WHERE type = 'presence' ORDER BY id")
    assert [row["payload"]["online"] for row in told] == [True, False] * (len(told) // 2)


class EventSourceReader:
    """Server-sent events as EventSource reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last_event_id = ""

    async def next(self) -> tuple[str, dict[str, object]]:
        kind, data = "message", ""
        async with asyncio.timeout(5):
            async for line in self._lines:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "id":
                    self.last_event_id = value
                elif field == "event":
                    kind = value
                elif field == "data":
                    data += value
                elif not line and data:
                    return kind, json.loads(data)
        raise AssertionError("the stream has ended")


async def test_server_sent_events_resume_too(api: Api, server: Server, ada: User) -> None:
    url = f"{server.http}/api/realtime/events?channels=notifications"
    async with httpx.AsyncClient(headers=ada.headers) as client:
        async with client.stream("GET", url) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            stream = EventSourceReader(answer)
            kind, event = await stream.next()
            assert kind == event["type"] == "hello"
            await notify(api.services.database, ada.id, "first")
            kind, event = await stream.next()
            assert kind == "notifications"
            assert stream.last_event_id == str(event["id"])
        async with asyncio.timeout(5):
            while api.services.hub.clients:  # noqa: ASYNC110 - nothing tells when
                await asyncio.sleep(0.01)
        await notify(api.services.database, ada.id, "second")
        async with client.stream("GET", url, headers={"Last-Event-ID": stream.last_event_id}) as answer:
            stream = EventSourceReader(answer)
            assert (await stream.next())[0] == "hello"
            _, event = await stream.next()
            assert "second" in json.dumps(event)
    await wait_for(api.services.database, ada, online=False)


async def test_server_sent_pings_move_the_last_event_id_unseen(
    api: Api, server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = api.services.hub
    monkeypatch.setattr(hub, "_timing", Timing(ping=0.1))
    hub._tasks.append(asyncio.create_task(hub._ping()))
    url = f"{server.http}/api/realtime/events?channels=notifications"
    async with httpx.AsyncClient(headers=ada.headers) as client, client.stream("GET", url) as answer:
        stream = EventSourceReader(answer)
        await stream.next()
        before = int(stream.last_event_id)
        await notify(api.services.database, bob.id)
        _, newest = await api.services.db.events.kept()
        assert newest > before
        async with asyncio.timeout(5):
            async for line in stream._lines:
                assert not line.startswith(("event:", "data:"))
                if line == f"id: {newest}":
                    break


async def test_a_stream_says_why_it_ends(api: Api, server: Server) -> None:
    ada = await api.member("Ada")
    token = make_token(ada.id, ada.email, exp=int(time.time()) - LEEWAY_S + 4)
    url = f"{server.http}/api/realtime/events?access_token={token}"
    async with httpx.AsyncClient() as client, client.stream("GET", url) as answer:
        stream = EventSourceReader(answer)
        assert (await stream.next())[0] == "hello"
        kind = ""
        while kind != "end":
            kind, event = await stream.next()
        assert event["data"]["code"] == 4401  # type: ignore[index]
        with pytest.raises(AssertionError, match="has ended"):
            await stream.next()
