"""Each event reaches those it is for."""

from __future__ import annotations

import pytest

from tests.support.api import Api, User
from tests.support.realtime import (
    Server,
    add_face,
    add_match,
    add_message,
    caught_up,
    connect_users,
    notify,
)


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
    await caught_up(api.services)
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
