from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.support.api import Api, User
from tests.support.rows_feed import FeedPair, add_face, add_match, add_pair


@dataclass(frozen=True, slots=True)
class Friends:
    """Two users who are connected."""

    ada: User
    bob: User
    pair: FeedPair
    connection: UUID


async def befriend(api: Api, ada: User, name: str = "Bob") -> Friends:
    """Connect a user with a new one, who completes the connection, so that the icebreaker is theirs."""
    bob = await api.member(name)
    pair = await add_pair(api.services.database, ada.id, bob.id)
    await api.services.db.reactions.like(pair.match, ada.id)
    _, connection_id = await api.services.db.reactions.like(pair.match, bob.id)
    assert connection_id is not None
    return Friends(ada, bob, pair, connection_id)


async def listed(api: Api, user: User, **query: Any) -> dict[str, Any]:
    answer = await api.client.get("/api/connections", params=query, headers=user.headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def patch(api: Api, friends: Friends, user: User, status: str) -> httpx.Response:
    return await api.client.patch(
        f"/api/connections/{friends.connection}", json={"status": status}, headers=user.headers
    )


async def say(api: Api, friends: Friends, sender: User, text: str) -> None:
    answer = await api.client.post(
        "/api/messages",
        json={"connection_id": str(friends.connection), "content": text, "message_type": "text"},
        headers=sender.headers,
    )
    assert answer.status_code == 201, answer.text


async def test_a_connection_as_its_users_see_it(api: Api) -> None:
    friends = await befriend(api, await api.member("Ada"))
    database = api.services.database
    seen = datetime.now(UTC) - timedelta(minutes=3)
    await database.execute("UPDATE profiles SET last_seen = $2 WHERE id = $1", friends.bob.id, seen)
    [mine] = (await listed(api, friends.ada))["connections"]
    assert mine.keys() >= {
        "id", "other_user", "baby_image", "last_message", "unread_count", "created_at",
    }  # fmt: skip
    image = mine["other_user"].pop("profile_image")
    assert image.startswith(f"http://api/objects/faces/{friends.pair.face_b}.jpg?")
    assert datetime.fromisoformat(mine["other_user"].pop("last_seen")) == seen
    assert mine["other_user"] == {"id": str(friends.bob.id), "name": "Bob"}
    assert (mine["baby_image"], mine["unread_count"], mine["status"]) == (None, 1, "active")
    assert mine["last_message"]["is_mine"] is False and "75 %" in mine["last_message"]["content"]
    [theirs] = (await listed(api, friends.bob))["connections"]
    assert (theirs["unread_count"], theirs["last_message"]["is_mine"]) == (0, True)
    assert theirs["other_user"]["last_seen"] is None

    await say(api, friends, friends.ada, "Hello.")
    await say(api, friends, friends.ada, "Are we twins?")
    [theirs] = (await listed(api, friends.bob))["connections"]
    assert (theirs["unread_count"], theirs["last_message"]["content"]) == (2, "Are we twins?")
    read = await api.client.get(f"/api/connections/{friends.connection}", headers=friends.bob.headers)
    assert read.json() == theirs


async def test_latest_activity_is_first_and_pages_do_not_overlap(api: Api) -> None:
    ada = await api.member("Ada")
    friends = [await befriend(api, ada, f"Friend {number}") for number in range(5)]
    await say(api, friends[1], friends[1].bob, "Hi.")
    expected = [str(friends[number].connection) for number in (1, 4, 3, 2, 0)]
    assert [entry["id"] for entry in (await listed(api, ada))["connections"]] == expected
    second = await listed(api, ada, limit=2, offset=2)
    assert ([entry["id"] for entry in second["connections"]], second["total"]) == (expected[2:4], 5)

    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await listed(api, ada, limit=2, **cursor)
        seen += [entry["id"] for entry in page["connections"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        # Arrives above what has been read.
        await befriend(api, ada, "Another")
    assert seen == expected


async def test_status_decides_which_are_listed(api: Api) -> None:
    ada = await api.member("Ada")
    first, second = await befriend(api, ada), await befriend(api, ada)
    assert (await patch(api, first, ada, "archived")).json()["status"] == "archived"
    for status, expected in (
        ({}, [second]),
        ({"status": "active"}, [second]),
        ({"status": "archived"}, [first]),
        ({"status": "blocked"}, []),
        ({"status": "all"}, [first, second]),
    ):
        body = await listed(api, ada, **status)
        assert [entry["id"] for entry in body["connections"]] == [str(f.connection) for f in expected]
        assert body["total"] == len(expected)
    # Either user may reactivate it, no matter who archived it.
    assert (await patch(api, first, first.bob, "active")).json()["status"] == "active"


async def test_only_the_user_who_blocked_can_unblock(api: Api) -> None:
    friends = await befriend(api, await api.member("Ada"))
    ada, bob = friends.ada, friends.bob
    await api.services.database.execute("UPDATE profiles SET last_seen = now()")
    for _ in range(2):
        blocked = await patch(api, friends, bob, "blocked")
        assert (blocked.status_code, blocked.json()["blocked_by_me"]) == (200, True)
    for status in ("active", "archived", "blocked"):
        assert (await patch(api, friends, ada, status)).status_code == 403
    read = await api.client.get(f"/api/connections/{friends.connection}", headers=ada.headers)
    assert (read.json()["status"], read.json()["blocked_by_me"]) == ("blocked", False)
    assert read.json()["other_user"]["last_seen"] is None
    for sender in (ada, bob):
        hello = {"connection_id": str(friends.connection), "content": "Hi.", "message_type": "text"}
        answer = await api.client.post("/api/messages", json=hello, headers=sender.headers)
        assert answer.status_code == 403
    assert (await patch(api, friends, bob, "active")).status_code == 200
    await say(api, friends, ada, "Hello.")


async def test_who_blocked_is_not_known_of_old_connections(api: Api) -> None:
    friends = await befriend(api, await api.member("Ada"))
    await api.services.database.execute("UPDATE mutual_connections SET status = 'blocked'")
    for user in (friends.ada, friends.bob):
        assert (await patch(api, friends, user, "active")).status_code == 403


async def test_members_only(api: Api) -> None:
    friends = await befriend(api, await api.member("Ada"))
    eve = await api.member("Eve")
    path = f"/api/connections/{friends.connection}"
    assert (await listed(api, eve)) == {"connections": [], "total": 0, "next_cursor": None}
    assert (await api.client.get(path, headers=eve.headers)).status_code == 403
    assert (await patch(api, friends, eve, "blocked")).status_code == 403
    for method in ("GET", "PATCH"):
        unknown = await api.client.request(
            method, f"/api/connections/{uuid4()}", json={"status": "active"}, headers=eve.headers
        )
        assert unknown.status_code == 404
        signed_out = await api.client.request(method, path, json={"status": "active"})
        assert signed_out.status_code == 401
    assert (await api.client.get("/api/connections")).status_code == 401
    wrong = await patch(api, friends, friends.ada, "gone")
    assert wrong.status_code == 422


async def test_check(api: Api) -> None:
    ada, eve = await api.member("Ada"), await api.member("Eve")
    database = api.services.database

    async def check(match_id: UUID, user: User) -> httpx.Response:
        return await api.client.post(
            "/api/connections/check", json={"match_id": str(match_id)}, headers=user.headers
        )

    unconnected = await add_pair(database, ada.id)
    assert (await check(unconnected.match, ada)).json() == {"exists": False, "connection": None}
    friends = await befriend(api, ada)
    other_match = await add_match(
        database, await add_face(database, ada.id), await add_face(database, friends.bob.id)
    )
    for match_id in (friends.pair.match, other_match):
        answer = await check(match_id, friends.bob)
        assert answer.json()["exists"] is True
        assert answer.json()["connection"]["id"] == str(friends.connection)
    assert (await check(friends.pair.match, eve)).status_code == 403
    assert (await check(uuid4(), ada)).status_code == 404
