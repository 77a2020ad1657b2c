"""Pages: each row of a list comes once, even among equal values, and the last page is marked as such."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from db.connections import Connections
from db.faces import Faces
from db.messages import Messages
from db.notifications import Notifications
from db.pages import Page, cut_page
from db.pool import Database
from tests.support.rows_chat import add_user, connect
from tests.support.rows_matching import add_face

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("rows", range(5))
async def test_one_extra_row_shows_that_there_are_more(database: Database, rows: int) -> None:
    """A query with counts has one row without an id where it has no items."""
    found = await database.fetch(
        """
        SELECT item.id, item.name
        FROM (VALUES (1)) AS counted
        LEFT JOIN (
            SELECT lpad(number::text, 32, '0')::uuid AS id, 'name ' || number AS name
            FROM generate_series(1, $1) AS number
        ) AS item ON true
        ORDER BY item.id
        """,
        rows,
    )
    shown, more = cut_page(found, 3, "name")
    assert [row["name"] for row in shown] == [f"name {number + 1}" for number in range(min(rows, 3))]
    assert more == (("name 3", UUID(int=3)) if rows > 3 else None)


async def read_all(read: Callable[[int, Any], Awaitable[Page[Any, Any]]], limit: int) -> list[UUID]:
    """The ids of a list, page by page."""
    found: list[UUID] = []
    after = None
    while True:
        page = await read(limit, after)
        assert page.items or after is None
        found += [item.id for item in page.items]
        if (after := page.next) is None:
            return found


async def test_rows_of_one_time_come_once_each(database: Database) -> None:
    ada, bob, cleo = [await add_user(database, name) for name in ("Ada", "Bob", "Cleo")]
    for number in range(4):
        await add_face(database, ada, created_at=NOW, image_hash=f"{number:032x}")
        await database.execute(
            "INSERT INTO notifications (user_id, type, title, created_at) "
            "VALUES ($1, 'mutual_match', 'A match', $2)",
            ada, NOW,
        )  # fmt: skip
    connection = await connect(database, bob, cleo)
    for _ in range(4):
        await database.execute(
            "INSERT INTO messages (connection_id, sender_id, content, created_at) VALUES ($1, $2, 'Hi', $3)",
            connection, bob, NOW,
        )  # fmt: skip

    async def faces(limit: int, after: Any) -> Page[Any, Any]:
        page = await Faces(database).page(ada, limit=limit, after=after)
        assert page.total == 4
        return page

    async def notifications(limit: int, after: Any) -> Page[Any, Any]:
        page = await Notifications(database).page(ada, unread_only=True, limit=limit, after=after)
        assert page.total == page.unread_count == 4
        return page

    async def messages(limit: int, after: Any) -> Page[Any, Any]:
        return await Messages(database).page(connection, reader_id=cleo, limit=limit, after=after)

    for limit in range(1, 6):
        for read in (faces, notifications, messages):
            found = await read_all(read, limit)
            assert found == sorted(set(found), reverse=True)
            assert len(found) == 4


async def test_an_offset_counts_from_the_beginning(database: Database) -> None:
    ada = await add_user(database)
    for name in ("Bob", "Cleo", "Dan"):
        await connect(database, ada, await add_user(database, name))
    connections = Connections(database)
    whole = await connections.page(ada, status="active", limit=3)
    rest = await connections.page(ada, status="active", limit=3, offset=1)
    assert [item.id for item in rest.items] == [item.id for item in whole.items[1:]]
    assert (whole.total, rest.total, whole.next, rest.next) == (3, 3, None, None)
