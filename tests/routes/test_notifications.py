from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from tests.support.api import Api, User

FILL = """
    INSERT INTO notifications (user_id, type, title, message, created_at, read_at)
    SELECT $1, 'mutual_match', number::text, 'alike', $4::timestamptz, CASE WHEN number < $3 THEN now() END
    FROM generate_series(0, $2 - 1) AS number
"""


async def fill(api: Api, user: User, count: int, *, read: int = 0) -> None:
    """Notifications "0", "1", …, all of the same instant; the first `read` of them are read."""
    now = await api.services.database.fetchval("SELECT now()")
    await api.services.database.execute(FILL, user.id, count, read, now)


async def get(api: Api, user: User, **params: str | int | bool) -> dict[str, Any]:
    answer = await api.client.get("/api/notifications", params=params, headers=user.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_nothing_yet(api: Api, ada: User) -> None:
    assert await get(api, ada) == {
        "notifications": [],
        "total": 0,
        "unread_count": 0,
        "next_cursor": None,
    }


async def test_counts_are_of_all_pages_and_of_the_caller(api: Api, ada: User, bob: User) -> None:
    await fill(api, ada, 30, read=10)
    await fill(api, bob, 3)
    page = await get(api, ada, limit=5)
    assert (len(page["notifications"]), page["total"], page["unread_count"]) == (5, 30, 20)
    unread = await get(api, ada, limit=5, unread_only=True)
    assert (unread["total"], unread["unread_count"]) == (20, 20)
    assert all(item["read_at"] is None for item in unread["notifications"])
    beyond = await get(api, ada, offset=30)
    assert (beyond["notifications"], beyond["total"], beyond["next_cursor"]) == ([], 30, None)


@pytest.mark.parametrize("unread_only", [False, True])
async def test_cursors_and_offsets_reach_each_once(api: Api, ada: User, unread_only: bool) -> None:
    await fill(api, ada, 23, read=4)
    expected = {str(number) for number in range(4 if unread_only else 0, 23)}
    by_cursor: list[str] = []
    params: dict[str, str | int | bool] = {"limit": 5, "unread_only": unread_only}
    while True:
        page = await get(api, ada, **params)
        by_cursor += [item["title"] for item in page["notifications"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    by_offset: list[str] = []
    for offset in range(0, 25, 5):
        page = await get(api, ada, limit=5, offset=offset, unread_only=unread_only)
        by_offset += [item["title"] for item in page["notifications"]]
    assert by_cursor == by_offset
    assert len(by_cursor) == len(expected)
    assert set(by_cursor) == expected


async def test_pages_by_cursor_are_stable_while_others_arrive(api: Api, ada: User) -> None:
    await fill(api, ada, 10)
    first = await get(api, ada, limit=5)
    await fill(api, ada, 7)
    second = await get(api, ada, limit=5, cursor=first["next_cursor"])
    ids = {item["id"] for page in (first, second) for item in page["notifications"]}
    assert len(ids) == 10
    assert second["next_cursor"] is None


async def test_reading_one(api: Api, ada: User, bob: User) -> None:
    await fill(api, ada, 2)
    target = (await get(api, ada))["notifications"][0]["id"]
    path = f"/api/notifications/{target}/read"
    assert (await api.client.patch(path, headers=bob.headers)).status_code == 404
    first = await api.client.patch(path, headers=ada.headers)
    assert first.status_code == 200, first.text
    assert first.json()["read_at"] is not None
    assert (await api.client.patch(path, headers=ada.headers)).json() == first.json()
    assert (await get(api, ada))["unread_count"] == 1


async def test_reading_all(api: Api, ada: User, bob: User) -> None:
    await fill(api, ada, 5, read=2)
    await fill(api, bob, 1)
    answer = await api.client.post("/api/notifications/read-all", headers=ada.headers)
    assert (answer.status_code, answer.json()) == (200, {"updated": 3})
    assert (await get(api, ada))["unread_count"] == 0
    assert (await get(api, bob))["unread_count"] == 1


async def test_deleting_one(api: Api, ada: User, bob: User) -> None:
    await fill(api, ada, 2)
    path = f"/api/notifications/{(await get(api, ada))['notifications'][0]['id']}"
    assert (await api.client.delete(path, headers=bob.headers)).status_code == 404
    assert (await get(api, ada))["total"] == 2
    assert (await api.client.delete(path, headers=ada.headers)).status_code == 204
    assert (await api.client.delete(path, headers=ada.headers)).status_code == 404
    assert (await get(api, ada))["total"] == 1


async def test_clearing_all(api: Api, ada: User, bob: User) -> None:
    await fill(api, ada, 5, read=2)
    await fill(api, bob, 1)
    for _ in range(2):
        answer = await api.client.delete("/api/notifications/clear-all", headers=ada.headers)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await get(api, ada))["total"] == 0
    assert (await get(api, bob))["total"] == 1


async def test_credentials_are_needed(api: Api) -> None:
    for method, path in (
        ("GET", ""),
        ("POST", "/read-all"),
        ("PATCH", f"/{uuid4()}/read"),
        ("DELETE", f"/{uuid4()}"),
        ("DELETE", "/clear-all"),
    ):
        assert (await api.client.request(method, f"/api/notifications{path}")).status_code == 401


async def test_a_page_takes_one_statement(api: Api, ada: User) -> None:
    """Besides the one that authenticates: this is what an app calls most."""
    await fill(api, ada, 3)
    await get(api, ada)
    statements: list[str] = []

    def note(logged: asyncpg.connection.LoggedQuery) -> None:
        statements.append(logged.query)

    pool: Any = api.services.database._pool
    connections = [holder._con for holder in pool._kept._pool._holders if holder._con]
    with ExitStack() as logged:
        for connection in connections:
            logged.enter_context(connection.query_logger(note))
        await get(api, ada)
        await get(api, ada)
    # The driver tells of a statement in the next round of the event loop.
    await asyncio.sleep(0)
    # The realtime hub reads the events and says that it lives when it likes, the driver reads a new
    # connection's types. Behind a pooler each statement is in a transaction.
    aside = ("FROM events", "realtime_replicas", "typeinfo_tree", "BEGIN;", "COMMIT;")
    asked = [text for text in statements if not any(mark in text for mark in aside)]
    assert sum("FROM notifications" in text for text in asked) == 2
    assert len(asked) <= 4, asked


async def test_unknown_ids_are_unknown(api: Api, ada: User) -> None:
    for method, path in (("PATCH", f"/{UUID(int=0)}/read"), ("DELETE", f"/{UUID(int=0)}")):
        answer = await api.client.request(method, f"/api/notifications{path}", headers=ada.headers)
        assert answer.status_code == 404
        answer = await api.client.request(
            method, "/api/notifications/x" + ("/read" if method == "PATCH" else ""), headers=ada.headers
        )
        assert answer.status_code == 422
