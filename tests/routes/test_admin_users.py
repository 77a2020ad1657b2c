"""People of the app, as operators find them, block them, promote them and delete them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from matching.store import Matching
from semblance.errors import ConflictError
from tests.support.api import Api, User
from tests.support.realtime import add_message, connect_users, serving
from tests.support.rows_faces import tables_with
from tests.support.rows_feed import FeedPair, add_face, add_match, add_pair, add_profile

PATH = "/api/admin/users"


@pytest.fixture
async def admin(api: Api) -> User:
    return await api.member("Root", role="admin")


async def call(
    api: Api, user: User, method: str, path: str, body: object = None, *, status: int = 200
) -> Any:
    answer = await api.client.request(method, PATH + path, headers=user.headers, json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def names(api: Api, user: User, query: str) -> list[str]:
    return [found["name"] for found in (await call(api, user, "GET", query))["users"]]


async def feed(api: Api, user: User | None = None) -> tuple[int, set[str]]:
    answer = await api.client.get("/api/matches/top", headers=user.headers if user else {})
    assert answer.status_code == 200
    return answer.json()["total"], {match["id"] for match in answer.json()["matches"]}


async def pair_of(api: Api, *, role: str = "user") -> tuple[User, User, FeedPair]:
    """Two members of a school, who match."""
    one, other = await api.member("One", role=role), await api.member("Other", gender="male")
    return one, other, await add_pair(api.owner, one.id, other.id)


async def told(api: Api) -> list[str]:
    rows = await api.owner.fetch("SELECT payload ->> 'kind' AS kind FROM events WHERE type = 'admin'")
    return [row["kind"] for row in rows]


async def audited(api: Api) -> list[tuple[str, str]]:
    rows = await api.owner.fetch("SELECT actor, action FROM audit_log ORDER BY at")
    return [(row["actor"], row["action"]) for row in rows]


async def test_users_are_found_by_how_name_address_or_school_begins(api: Api, admin: User) -> None:
    for name, email, school in (
        ("Ada Lovelace", "al@mit.edu", "MIT"),
        ("Grace Hopper", "Grace@yale.edu", "Yale"),
        ("Zoë 100%", None, "Über Uni"),
    ):
        address = email and email.lower()
        await add_profile(api.owner, name, email=address, school=school)
    assert await names(api, admin, "") == ["Zoë 100%", "Grace Hopper", "Ada Lovelace", "Root"]
    for search, expected in (
        ("ADA L", ["Ada Lovelace"]),
        ("grace@", ["Grace Hopper"]),
        ("über", ["Zoë 100%"]),
        ("mit", ["Ada Lovelace", "Root"]),
        ("zoë 100%", ["Zoë 100%"]),
        ("%", []),
        ("lovelace", []),
    ):
        assert await names(api, admin, f"?{httpx.QueryParams(search=search)}") == expected, search
    assert await names(api, admin, "?role=admin") == ["Root"]
    first = await call(api, admin, "GET", "?limit=3")
    assert [user["name"] for user in first["users"]] == ["Zoë 100%", "Grace Hopper", "Ada Lovelace"]
    last = await call(api, admin, "GET", f"?limit=3&cursor={first['next_cursor']}")
    assert [user["name"] for user in last["users"]] == ["Root"]
    assert last["next_cursor"] is None


async def test_a_user_is_shown_with_photos_matches_and_what_is_used_of_the_limits(
    api: Api, admin: User
) -> None:
    one, _, pair = await pair_of(api)
    await add_face(api.owner, one.id)
    await api.owner.execute(
        "INSERT INTO user_daily_quotas (profile_id, kind, count) VALUES ($1, 'photo_upload', 3)", one.id
    )
    listed = (await call(api, admin, "GET", "?search=one"))["users"][0]
    assert (listed["photos"], listed["matches"], listed["uploads_today"]) == (2, 1, 3)
    assert (await call(api, admin, "GET", ""))["daily_photo_upload_limit"] == 20
    details = await call(api, admin, "GET", f"/{one.id}")
    assert {photo["id"] for photo in details["latest_photos"]} > {str(pair.face_a)}
    assert details["thumbnail_url"].startswith("http://api/")
    await call(api, admin, "GET", f"/{uuid.uuid4()}", status=404)
    await call(api, one, "GET", "", status=403)


async def test_a_blocked_user_is_out_until_the_block_ends(api: Api, admin: User) -> None:
    one, other, pair = await pair_of(api)
    await connect_users(api.owner, one.id, other.id)
    path = f"/api/matches/user/{other.id}"
    before = await feed(api)
    assert str(pair.match) in before[1]
    async with serving(api.app) as server, server.listen(headers=one.headers) as socket:
        await socket.hello()
        assert (await call(api, admin, "POST", f"/{one.id}/block"))["blocked_at"] is not None
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await socket.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
    for method, refused in (("GET", "/api/auth/me"), ("POST", "/api/faces"), ("GET", "/api/realtime/events")):
        answer = await api.client.request(method, refused, headers=one.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "account_blocked"), refused
        assert answer.json()["error"].startswith("This account is blocked.")
    assert await feed(api) == await feed(api, other) == (0, set())
    assert (await api.client.get(path, headers=other.headers)).json()["matches"] == []
    chats = (await api.client.get("/api/connections", headers=other.headers)).json()
    assert (chats["connections"], chats["total"]) == ([], 0)
    assert await Matching(api.services.database).probe(pair.face_a) is None
    assert await names(api, admin, "?blocked=true") == ["One"]
    assert (await call(api, admin, "GET", f"/{one.id}"))["matches"] == before[0] == 2

    await call(api, admin, "POST", f"/{one.id}/block")
    await api.owner.execute("UPDATE match_jobs SET status = 'completed'")
    await call(api, admin, "POST", f"/{one.id}/unblock")
    assert (await api.client.get("/api/auth/me", headers=one.headers)).status_code == 200
    assert await feed(api) == before
    # They are matched again, because others may have come meanwhile.
    waiting = "SELECT DISTINCT user_id FROM match_jobs WHERE status = 'pending'"
    assert [row["user_id"] for row in await api.owner.fetch(waiting)] == [one.id]
    actor = f"admin:{admin.id}"
    assert await audited(api) == [(actor, "user.block"), (actor, "user.unblock")]
    assert (await told(api)).count("users") == 2


async def test_nothing_is_read_of_or_written_to_a_blocked_user(api: Api, admin: User) -> None:
    one, other, _ = await pair_of(api)
    chat = await connect_users(api.owner, one.id, other.id)
    message = await add_message(api.owner, chat, one.id, "a telescope")
    answer: uuid.UUID = await api.owner.fetchval(
        """
        INSERT INTO inference_queue (
            kind, profile_id, message_id, recipient_id, status, completed_at, result
        )
        VALUES ('reply', $1, $2, $3, 'completed', now(), '{"text": "A draft", "model": "local"}')
        RETURNING id
        """,
        one.id, message, other.id,
    )  # fmt: skip
    refused = (
        ("GET", f"/api/connections/{chat}", None),
        ("PATCH", f"/api/connections/{chat}", {"status": "archived"}),
        ("GET", f"/api/messages/{chat}", None),
        ("POST", f"/api/messages/{chat}/read-all", None),
        ("PATCH", f"/api/messages/{message}/read", None),
        ("POST", "/api/messages", {"connection_id": str(chat), "content": "Hi!", "message_type": "text"}),
        ("POST", "/api/inference", {"connection_id": str(chat), "content": "Hi!"}),
        ("POST", f"/api/inference/drafts/{answer}/send", {"content": "Hi!"}),
    )

    async def found() -> tuple[int, int]:
        messages = await api.client.get("/api/search/messages?q=telescope", headers=other.headers)
        drafts = await api.client.get("/api/inference/drafts", headers=other.headers)
        return len(messages.json()["messages"]), len(drafts.json()["drafts"])

    assert await found() == (1, 1)
    await call(api, admin, "POST", f"/{one.id}/block")
    before = await api.owner.fetch("SELECT * FROM mutual_connections")
    for method, path, body in refused:
        answered = await api.client.request(method, path, headers=other.headers, json=body)
        assert (answered.status_code, answered.json()["code"]) == (404, "not_found"), path
    assert await found() == (0, 0)
    assert await api.owner.fetch("SELECT * FROM mutual_connections") == before
    assert await api.owner.fetchval("SELECT count(*) FROM messages WHERE read_at IS NULL") == 1
    await call(api, admin, "POST", f"/{one.id}/unblock")
    assert await found() == (1, 1)


async def test_a_match_of_two_blocked_users_is_seen_when_neither_is(api: Api, admin: User) -> None:
    one, other, pair = await pair_of(api)
    for user in (one, other):
        await call(api, admin, "POST", f"/{user.id}/block")
    await call(api, admin, "POST", f"/{one.id}/unblock")
    assert await feed(api) == (0, set())
    await call(api, admin, "POST", f"/{other.id}/unblock")
    assert await feed(api) == (1, {str(pair.match)})


async def test_a_match_that_is_being_stored_is_hidden_too(api: Api, admin: User) -> None:
    """A worker may have looked for faces before the block, and store what it found after it."""
    one, other, pair = await pair_of(api)
    late = await add_face(api.owner, other.id)
    async with api.owner.transaction() as before:
        await before.execute("UPDATE matches SET similarity_score = 0.9 WHERE id = $1", pair.match)
        await before.execute(
            """
            INSERT INTO matches (face_a_id, face_b_id, similarity_score)
            VALUES (least($1::uuid, $2::uuid), greatest($1::uuid, $2::uuid), 0.8)
            """,
            pair.face_a, late,
        )  # fmt: skip
        blocking = asyncio.create_task(call(api, admin, "POST", f"/{one.id}/block"))
        _, waiting = await asyncio.wait([blocking], timeout=0.2)
        assert waiting
    await blocking
    await add_match(api.owner, await add_face(api.owner, one.id), late)
    assert await feed(api) == (0, set())
    await call(api, admin, "POST", f"/{one.id}/unblock")
    assert (await feed(api))[0] == 3


async def test_end_users_of_the_database_see_no_blocked_user_and_nothing_once_blocked(
    api: Api, admin: User
) -> None:
    one, other, _ = await pair_of(api)
    await connect_users(api.owner, one.id, other.id)
    await call(api, admin, "POST", f"/{one.id}/block")
    seen: dict[uuid.UUID, list[int]] = {}
    for user in (one, other):
        async with api.owner.transaction() as connection:
            await connection.execute("SET LOCAL ROLE authenticated")
            await connection.execute("SELECT set_config('request.jwt.claim.sub', $1, true)", str(user.id))
            seen[user.id] = [
                await connection.fetchval(f"SELECT count(*) FROM {table}")
                for table in ("profiles", "faces", "matches", "mutual_connections")
            ]
    assert seen == {one.id: [0, 0, 0, 0], other.id: [1, 2, 0, 1]}


async def test_of_admins_one_is_always_left(api: Api, admin: User) -> None:
    second = await api.member("Second", role="admin")
    accounts = api.services.db.accounts
    outcomes = await asyncio.gather(
        accounts.set_role(second.id, "user", by=admin.id),
        accounts.set_role(admin.id, "user", by=second.id),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(ConflictError) == 1
    left, gone = (admin, second) if outcomes[0] is None else (second, admin)
    await call(api, gone, "GET", "", status=403)
    # A session that a code opened has no account of its own.
    for change in (
        accounts.set_role(left.id, "user", by=None),
        accounts.set_blocked(left.id, True, by=None),
        accounts.delete(left.id, "Root" if left is admin else "Second", by=None),
    ):
        with pytest.raises(ConflictError, match="no other admin"):
            await change


async def test_roles_change_except_the_own(api: Api, admin: User) -> None:
    one = await api.member("One")
    assert (await call(api, admin, "PUT", f"/{one.id}/role", {"role": "admin"}))["role"] == "admin"
    await call(api, admin, "PUT", f"/{one.id}/role", {"role": "admin"})
    await call(api, one, "PUT", f"/{admin.id}/role", {"role": "user"})
    await call(api, admin, "GET", "", status=403)
    own = f"/{one.id}"
    for method, path, body in (
        ("PUT", "/role", {"role": "user"}),
        ("POST", "/block", None),
        ("POST", "/delete", {"name": "One"}),
    ):
        refused = await call(api, one, method, own + path, body, status=409)
        assert "your own account" in refused["error"]
    assert [action for _, action in await audited(api)] == ["user.role", "user.role"]


@pytest.mark.parametrize("blocked", [False, True])
async def test_a_deleted_user_leaves_nothing(api: Api, admin: User, blocked: bool) -> None:
    one, other, pair = await pair_of(api)
    connection = await connect_users(api.owner, one.id, other.id)
    await api.owner.execute(
        "INSERT INTO messages (connection_id, sender_id, content) VALUES ($1, $2, 'hi')", connection, one.id
    )
    await api.owner.execute(
        """
        INSERT INTO notifications (user_id, type, title, related_id, related_type)
        VALUES ($1, 'mutual_match', 'It is mutual!', $2, 'match'), ($1, 'mutual_match', 'Another', NULL, NULL)
        """,
        other.id, pair.match,
    )  # fmt: skip
    await api.owner.execute(
        "INSERT INTO babies (match_id, generated_by_profile_id, image_url) VALUES ($1, $2, 'babies/x.jpg')",
        pair.match, other.id,
    )  # fmt: skip
    if blocked:
        await call(api, admin, "POST", f"/{one.id}/block")
    await call(api, admin, "POST", f"/{one.id}/delete", {"name": "one"}, status=400)
    await call(api, admin, "POST", f"/{one.id}/delete", {"name": "One"}, status=204)
    assert await tables_with(api.owner, one.id, pair.match) == ["audit_log"]
    left = await api.owner.fetch("SELECT key FROM object_deletions ORDER BY key")
    assert [row["key"] for row in left] == ["babies/x.jpg", f"faces/{pair.face_a}.jpg"]
    assert await api.owner.fetchval("SELECT string_agg(title, ',') FROM notifications") == "Another"
    assert await feed(api) == (0, set())
    await call(api, admin, "POST", f"/{one.id}/delete", {"name": "One"}, status=404)
    assert (await audited(api))[-1] == (f"admin:{admin.id}", "user.delete")


async def test_operators_hear_of_jobs_that_wait_in_a_paused_queue(api: Api) -> None:
    one = await api.member("One")
    await add_face(api.owner, one.id)
    assert await told(api) == []
    await api.services.db.job_queue.pause(paused=True)
    before = (await told(api)).count("jobs")
    await add_face(api.owner, one.id)
    assert (await told(api)).count("jobs") == before + 1
