from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.api import Api, User
from tests.support.rows_chat import connect


@dataclass(frozen=True, slots=True)
class Chat:
    """Ada and Bob, who are connected, and Eve, who is not."""

    api: Api
    ada: User
    bob: User
    eve: User
    connection: UUID

    async def send(self, user: User, content: str = "Hi!", **fields: object) -> httpx.Response:
        body = {"connection_id": str(self.connection), "content": content, "message_type": "text", **fields}
        return await self.api.client.post("/api/messages", json=body, headers=user.headers)

    async def get(self, path: str, user: User, **params: str | int | bool) -> dict[str, Any]:
        answer = await self.api.client.get(path, params=params, headers=user.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def block(self, status: str = "blocked") -> None:
        await self.api.services.database.execute(
            "UPDATE mutual_connections SET status = $2 WHERE id = $1", self.connection, status
        )


@pytest.fixture
async def chat(api: Api) -> Chat:
    ada, bob, eve = [await api.member(name) for name in ("Ada", "Bob", "Eve")]
    return Chat(api, ada, bob, eve, await connect(api.services.database, ada.id, bob.id))


@pytest.mark.parametrize("content", ["\u200b", "\ufeff \u2060", "\u202e", "\u3164", "\u200d\n\u200d"])
async def test_a_message_has_something_to_see(chat: Chat, content: str) -> None:
    answer = await chat.send(chat.ada, content)
    assert answer.status_code == 422, answer.text
    problem = {"field": "body.content", "problem": "should contain something visible, and no zero bytes"}
    assert answer.json()["fields"] == [problem]
    assert (await chat.send(chat.ada, f"{content}\N{HEAVY BLACK HEART}\ufe0f")).status_code == 201


async def test_a_message_reaches_the_other_user(chat: Chat) -> None:
    answer = await chat.send(chat.ada, "Are we related?")
    assert answer.status_code == 201, answer.text
    sent = answer.json()
    assert sent == {
        "id": sent["id"],
        "connection_id": str(chat.connection),
        "sender_id": str(chat.ada.id),
        "is_mine": True,
        "content": "Are we related?",
        "message_type": "text",
        "read_at": None,
        "ai_status": None,
        "in_reply_to": None,
        "created_at": sent["created_at"],
    }
    page = await chat.get(f"/api/messages/{chat.connection}", chat.bob)
    assert page == {"messages": [sent | {"is_mine": False}], "has_more": False, "next_cursor": None}

    told = await chat.get("/api/notifications", chat.bob)
    assert told["unread_count"] == 1
    notification = told["notifications"][0]
    assert notification["type"] == "new_message"
    assert notification["title"] == "New message from Ada"
    assert notification["message"] == "Are we related?"
    assert (notification["related_type"], notification["related_id"]) == ("message", sent["id"])
    assert notification["connection_id"] == str(chat.connection)
    assert (await chat.get("/api/notifications", chat.ada))["total"] == 0


async def test_a_notification_shows_the_beginning_of_a_long_message(chat: Chat) -> None:
    assert (await chat.send(chat.ada, "x" * 4000)).status_code == 201
    told = await chat.get("/api/notifications", chat.bob)
    assert told["notifications"][0]["message"] == "x" * 99 + "…"


async def test_content_that_cannot_be_stored_or_seen_is_refused(chat: Chat) -> None:
    for content in ("", "   \n\t", "a\x00b", "\x00", "x" * 4001, "\ud800", "\u2003", None, 5):
        answer = await chat.api.client.post(
            "/api/messages",
            # Written here, because httpx cannot encode half of a surrogate pair.
            content=json.dumps({"connection_id": str(chat.connection), "content": content}),
            headers={**chat.ada.headers, "Content-Type": "application/json"},
        )
        assert answer.status_code == 422, (content, answer.text)
        assert answer.json()["code"] == "invalid_request"


async def test_content_is_kept_as_it_is(chat: Chat) -> None:
    for content in (" padded ", "two\nlines", "👩‍🔬", "é", "x" * 4000):
        answer = await chat.send(chat.ada, content)
        assert answer.status_code == 201, answer.text
        assert answer.json()["content"] == content


async def test_clients_send_no_icebreakers(chat: Chat) -> None:
    assert (await chat.send(chat.ada, message_type="icebreaker")).status_code == 422


async def test_only_members_send_and_read(chat: Chat) -> None:
    sent = (await chat.send(chat.ada)).json()["id"]
    client = chat.api.client
    for user, status in ((chat.eve, 403), (chat.api.user(), 403)):
        assert (await chat.send(user)).status_code == status
        for method, path in (
            ("GET", f"/api/messages/{chat.connection}"),
            ("PATCH", f"/api/messages/{sent}/read"),
            ("POST", f"/api/messages/{chat.connection}/read-all"),
        ):
            assert (await client.request(method, path, headers=user.headers)).status_code == status, path
            assert (await client.request(method, path)).status_code == 401, path
    unknown = uuid4()
    assert (await chat.send(chat.ada, connection_id=str(unknown))).status_code == 404
    for method, path in (
        ("GET", f"/api/messages/{unknown}"),
        ("PATCH", f"/api/messages/{unknown}/read"),
        ("POST", f"/api/messages/{unknown}/read-all"),
    ):
        assert (await client.request(method, path, headers=chat.ada.headers)).status_code == 404, path


@pytest.mark.parametrize("status", ["blocked", "archived"])
async def test_nobody_sends_where_the_connection_is_not_active(chat: Chat, status: str) -> None:
    await chat.send(chat.ada, "before")
    await chat.block(status)
    for user in (chat.ada, chat.bob):
        answer = await chat.send(user)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    page = await chat.get(f"/api/messages/{chat.connection}", chat.bob)
    assert [message["content"] for message in page["messages"]] == ["before"]


async def test_messages_sent_while_blocking_are_all_there_at_the_block(chat: Chat) -> None:
    sending = [asyncio.create_task(chat.send(user)) for user in (chat.ada, chat.bob) * 10]
    await asyncio.sleep(0.02)
    await chat.block()
    at_block = await chat.api.services.database.fetchval("SELECT count(*) FROM messages")
    answers = await asyncio.gather(*sending)
    assert {answer.status_code for answer in answers} <= {201, 403}
    taken = sum(answer.status_code == 201 for answer in answers)
    assert taken == at_block == await chat.api.services.database.fetchval("SELECT count(*) FROM messages")


async def test_pages_by_cursor_neither_skip_nor_repeat_among_equal_times(chat: Chat) -> None:
    await chat.api.services.database.execute(
        """
        INSERT INTO messages (connection_id, sender_id, content, created_at)
        SELECT $1, $2, number::text, $3::timestamptz + make_interval(secs => number / 40)
        FROM generate_series(0, 99) AS number
        """,
        chat.connection, chat.ada.id, datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    seen: list[str] = []
    times: list[str] = []
    cursor: dict[str, str | int | bool] = {}
    while True:
        page = await chat.get(f"/api/messages/{chat.connection}", chat.bob, limit=7, **cursor)
        seen += [message["content"] for message in page["messages"]]
        times += [message["created_at"] for message in page["messages"]]
        # Messages that arrive meanwhile are newer than the cursor.
        assert (await chat.send(chat.ada, "new")).status_code == 201
        assert page["has_more"] == (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = {"before": page["next_cursor"]}
    assert sorted(map(int, seen)) == list(range(100))
    assert times == sorted(times, reverse=True)


async def test_a_page_that_ends_with_the_last_message_has_no_next(chat: Chat) -> None:
    for number in range(4):
        await chat.send(chat.ada, str(number))
    page = await chat.get(f"/api/messages/{chat.connection}", chat.bob, limit=4)
    assert [message["content"] for message in page["messages"]] == ["3", "2", "1", "0"]
    assert (page["has_more"], page["next_cursor"]) == (False, None)


BAD_PAGES: list[tuple[dict[str, str | int], int]] = [
    ({"before": "nonsense"}, 400),
    ({"before": ""}, 400),
    ({"before": "é"}, 400),
    # 0001-01-01T00:00:00+14:00 lies before the year 1 in UTC.
    ({"before": "MDAwMS0wMS0wMVQwMDowMDowMCsxNDowMHwwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA"}, 400),
    ({"limit": 0}, 422),
    ({"limit": 101}, 422),
    ({"limit": 10**30}, 422),
    ({"limit": "ten"}, 422),
    ({"before": "x" * 201}, 422),
]


async def test_bad_pages_are_refused(chat: Chat) -> None:
    for params, status in BAD_PAGES:
        answer = await chat.api.client.get(
            f"/api/messages/{chat.connection}", params=params, headers=chat.ada.headers
        )
        assert answer.status_code == status, (params, answer.text)
        renamed = {key.replace("before", "cursor"): value for key, value in params.items()}
        answer = await chat.api.client.get("/api/notifications", params=renamed, headers=chat.ada.headers)
        assert answer.status_code == status, (renamed, answer.text)


async def test_the_receiver_marks_a_message_as_read_once(chat: Chat) -> None:
    sent = (await chat.send(chat.ada)).json()
    path = f"/api/messages/{sent['id']}/read"
    own = await chat.api.client.patch(path, headers=chat.ada.headers)
    assert (own.status_code, own.json()["code"]) == (400, "bad_input")
    first = await chat.api.client.patch(path, headers=chat.bob.headers)
    assert first.status_code == 200, first.text
    assert first.json()["read_at"] is not None
    second = await chat.api.client.patch(path, headers=chat.bob.headers)
    assert second.json() == first.json()
    page = await chat.get(f"/api/messages/{chat.connection}", chat.ada)
    assert page["messages"][0]["read_at"] == first.json()["read_at"]


async def test_reading_everything_clears_the_notification(chat: Chat) -> None:
    for _ in range(3):
        await chat.send(chat.ada)
    await chat.send(chat.bob)
    path = f"/api/messages/{chat.connection}/read-all"
    assert (await chat.api.client.post(path, headers=chat.bob.headers)).json() == {"updated": 3}
    assert (await chat.api.client.post(path, headers=chat.bob.headers)).json() == {"updated": 0}
    assert (await chat.get("/api/notifications", chat.bob))["unread_count"] == 0
    assert (await chat.get("/api/notifications", chat.ada))["unread_count"] == 1
