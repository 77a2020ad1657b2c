"""Clients that come back get what they missed."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import psycopg
import pytest

from db.events import Event, Events
from db.matches import Match, Matches
from semblance.settings import Settings
from serve_app.realtime.frames import Channel
from serve_app.realtime.hub import Hub, Timing
from tests.support.api import Api, User
from tests.support.realtime import (
    Server,
    add_face,
    add_match,
    add_message,
    caught_up,
    connect_users,
    notify,
    ping_often,
)
from tests.support.waiting import PATIENCE_S, until


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


async def test_what_was_deleted_meanwhile_is_not_told_again(
    api: Api, server: Server, ada: User, bob: User
) -> None:
    """By operators who delete or block who wrote it, and by the user who clears the notifications."""
    database, eve = api.services.database, await api.member("eve")
    chats = [await connect_users(database, ada.id, other.id) for other in (bob, eve)]
    async with server.listen(ada, channels="messages,notifications") as socket:
        last = (await socket.hello())["id"]
    for chat, writer in zip(chats, (bob, eve), strict=True):
        await add_message(database, chat, writer.id)
    cleared, read, kept = [await notify(database, ada.id) for _ in range(3)]
    await api.services.db.notifications.read_all(ada.id)
    await database.execute("DELETE FROM notifications WHERE id = $1", cleared)
    for outcome in ("delete_account($1)", "change_block($1, true)"):
        await api.owner.execute(f"SELECT {outcome}", {"d": bob.id, "c": eve.id}[outcome[0]])
    async with server.listen(ada, last_event_id=last, channels="messages,notifications") as socket:
        await socket.hello()
        told = [await socket.next() for _ in range(3)]
        assert await socket.quiet()
    ids = [{notification["id"] for notification in event["data"]["notifications"]} for event in told]
    assert ids == [{str(read)}, {str(kept)}, {str(read), str(kept)}]


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
    await caught_up(api.services)
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
        await caught_up(api.services)
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
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
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


async def test_guests_who_missed_much_take_turns_and_keep_nobody_else_waiting(
    api: Api, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, hub = api.services.database, api.services.hub
    face, *others = [await add_face(database, user.id) for user in (ada, bob, bob)]
    first = (await api.services.db.events.kept())[1]
    for other in others:
        await add_match(database, face, other)
    await notify(database, ada.id)
    await caught_up(api.services)
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

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        guests = [group.create_task(missed(None, "feed")) for _ in range(5)]
        await until(lambda: reading > 0)
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
    await caught_up(api.services)
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


async def test_silence_is_broken_by_pings_that_move_the_last_event_id(
    api: Api, server: Server, ada: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping_often(api.services.hub, monkeypatch)
    async with server.listen(ada, channels="notifications") as socket:
        hello = await socket.hello()
        await notify(api.services.database, bob.id)
        async with asyncio.timeout(PATIENCE_S):
            while (ping := await socket.next())["id"] == hello["id"]:
                assert ping["type"] == "ping"
