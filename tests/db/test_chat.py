from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

import pytest

from db.messages import Message, Messages
from db.notifications import Notifications
from db.pool import Database
from db.presence import Presence
from db.queries import queries
from semblance.errors import ForbiddenError
from tests.support.reused_database import ReusedDatabase
from tests.support.rows_chat import add_user, connect
from tests.support.waiting import wait_until

BLOCK = "UPDATE mutual_connections SET status = 'blocked' WHERE id = $1"


@dataclass(frozen=True, slots=True)
class CrowdedChat:
    """Two connected users on a database with room for many connections."""

    database: Database
    ada: UUID
    bob: UUID
    connection: UUID

    @property
    def messages(self) -> Messages:
        return Messages(self.database)

    @property
    def notifications(self) -> Notifications:
        return Notifications(self.database)

    async def send(self, content: str, sender: UUID | None = None) -> Message:
        return await self.messages.send(
            self.connection,
            sender_id=sender or self.ada,
            content=content,
            message_type="text",
            title="New message from Ada",
            preview=content,
        )

    async def unread(self) -> list[str | None]:
        """Texts of Bob's unread notifications."""
        page = await self.notifications.page(self.bob, unread_only=True, limit=50)
        return [notification.message for notification in page.items]


@pytest.fixture
async def chat(reused_database: ReusedDatabase) -> CrowdedChat:
    database = await reused_database.pool(reused_database.dsn, 12)
    ada, bob = await add_user(database), await add_user(database, "Bob")
    return CrowdedChat(database, ada, bob, await connect(database, ada, bob))


async def test_parallel_messages_make_one_unread_notification(chat: CrowdedChat) -> None:
    sent = await asyncio.gather(*(chat.send(f"message {number}") for number in range(30)))
    newest = max(sent, key=lambda message: message.created_at)
    page = await chat.notifications.page(chat.bob, unread_only=False, limit=50)
    assert (page.total, page.unread_count) == (1, 1)
    notification = page.items[0]
    assert notification.message == newest.content
    assert (notification.type, notification.related_type) == ("new_message", "message")
    assert (notification.related_id, notification.connection_id) == (newest.id, chat.connection)
    assert notification.created_at == newest.created_at
    assert (await chat.notifications.page(chat.ada, unread_only=False, limit=50)).total == 0


async def test_messages_of_both_directions_have_distinct_times_in_their_order(chat: CrowdedChat) -> None:
    senders = [chat.ada, chat.bob] * 15
    sent = await asyncio.gather(*(chat.send(str(number), sender) for number, sender in enumerate(senders)))
    assert len({message.created_at for message in sent}) == len(sent)


async def test_a_read_notification_is_followed_by_a_new_one(chat: CrowdedChat) -> None:
    await chat.send("first")
    assert await chat.notifications.read_all(chat.bob) == 1
    await chat.send("second")
    page = await chat.notifications.page(chat.bob, unread_only=False, limit=50)
    assert [(item.message, item.read_at is None) for item in page.items] == [
        ("second", True),
        ("first", False),
    ]


async def test_each_connection_has_separate_notifications(chat: CrowdedChat) -> None:
    eve = await add_user(chat.database, "Eve")
    other = await connect(chat.database, eve, chat.bob)
    await chat.send("from ada")
    await chat.messages.send(
        other, sender_id=eve, content="hi", message_type="text", title="t", preview="from eve"
    )
    assert await chat.unread() == ["from eve", "from ada"]


async def test_a_notification_is_deleted_with_its_connection(chat: CrowdedChat) -> None:
    await chat.send("hello")
    await chat.database.execute("DELETE FROM mutual_connections WHERE id = $1", chat.connection)
    assert (await chat.notifications.page(chat.bob, unread_only=False, limit=50)).total == 0


async def test_no_message_comes_in_after_a_block(chat: CrowdedChat) -> None:
    """A sender who waits for the blocking transaction must see what it did."""
    async with chat.database.transaction() as connection:
        await connection.execute(BLOCK, chat.connection)
        waiting = [asyncio.create_task(chat.send("late", sender)) for sender in (chat.ada, chat.bob)]
        await wait_until(chat.database, "SELECT count(*) = 2 FROM pg_locks WHERE NOT granted")
    assert [type(result) for result in await asyncio.gather(*waiting, return_exceptions=True)] == [
        ForbiddenError,
        ForbiddenError,
    ]
    assert await chat.database.fetchval("SELECT count(*) FROM messages") == 0
    assert await chat.unread() == []


async def test_a_block_waits_for_the_message_that_came_first(chat: CrowdedChat) -> None:
    """No message is added after the ones that the blocking user sees at the commit."""
    sending = [asyncio.create_task(chat.send(str(number))) for number in range(20)]
    await asyncio.sleep(0.005)
    await chat.database.execute(BLOCK, chat.connection)
    seen = await chat.database.fetchval("SELECT count(*) FROM messages")
    await asyncio.gather(*sending, return_exceptions=True)
    assert await chat.database.fetchval("SELECT count(*) FROM messages") == seen


async def test_reading_the_last_message_reads_the_notification(chat: CrowdedChat) -> None:
    first, second = await chat.send("first"), await chat.send("second")
    await chat.messages.read(second.id, reader_id=chat.bob)
    assert await chat.unread() == ["second"]
    await chat.messages.read(first.id, reader_id=chat.bob)
    assert await chat.unread() == []


async def test_a_message_that_comes_in_while_others_are_read_stays_announced(chat: CrowdedChat) -> None:
    for round_ in range(10):
        await chat.send(f"before {round_}")
        await asyncio.gather(
            chat.messages.read_all(chat.connection, reader_id=chat.bob), chat.send(f"meanwhile {round_}")
        )
        left = await chat.database.fetchval("SELECT count(*) FROM messages WHERE read_at IS NULL")
        assert len(await chat.unread()) == left


async def test_a_message_raises_its_connection(chat: CrowdedChat) -> None:
    get = "SELECT updated_at FROM mutual_connections WHERE id = $1"
    before = await chat.database.fetchval(get, chat.connection)
    await chat.send("hello")
    assert await chat.database.fetchval(get, chat.connection) > before


async def test_reading_and_clearing_everything_at_once_never_deadlocks(chat: CrowdedChat) -> None:
    insert = """
        INSERT INTO notifications (user_id, type, title)
        SELECT $1, 'mutual_match', 't' FROM generate_series(1, 500)
    """
    for _ in range(3):
        await chat.database.execute(insert, chat.bob)
        calls = [chat.notifications.read_all(chat.bob), chat.notifications.clear(chat.bob)] * 3
        await asyncio.gather(*calls)
    assert (await chat.notifications.page(chat.bob, unread_only=False, limit=1)).total == 0


async def test_last_seen_is_never_in_the_future_nor_moves_back(chat: CrowdedChat) -> None:
    presence = Presence(chat.database)
    now = await chat.database.fetchval("SELECT now()")
    tomorrow = await chat.database.fetchval("SELECT now() + interval '1 day'")
    yesterday = await chat.database.fetchval("SELECT now() - interval '1 day'")
    assert await presence.seen(chat.ada, yesterday) == yesterday
    seen = await presence.seen(chat.ada, tomorrow)
    assert now <= seen < tomorrow
    assert await presence.seen(chat.ada, yesterday) == seen


FILL = """
    INSERT INTO notifications (user_id, type, title, created_at, read_at)
    SELECT $1, 'mutual_match', 't', now() - make_interval(secs => number), CASE WHEN number > 5 THEN now() END
    FROM generate_series(1, $2) AS number
"""
FILL_OTHERS = """
    WITH people AS (
        INSERT INTO profiles (id, profile_type)
        SELECT gen_random_uuid(), 'user' FROM generate_series(1, 400)
        RETURNING id
    )
    INSERT INTO notifications (user_id, type, title, created_at)
    SELECT id, 'mutual_match', 't', now() - make_interval(secs => number)
    FROM people, generate_series(1, 40) AS number
"""


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_of_notifications_reads_its_user_and_stops(chat: CrowdedChat, plan: str) -> None:
    """Also with the generic plan that a prepared statement ends up with."""
    await chat.database.execute(FILL, chat.bob, 60)
    async with chat.database.transaction() as connection:
        # No event for each, and no look for its user.
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(FILL_OTHERS)
    await chat.database.execute("ANALYZE notifications")
    async with chat.database.transaction() as connection:
        await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
        lines = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF) {queries['list_notifications']}",
            chat.bob, False, None, None, 20, 0,
        )  # fmt: skip
    text = "\n".join(line[0] for line in lines)
    assert "Seq Scan" not in text, text
    assert "using idx_notifications_page" in text, text
    # In the index's order: nothing is sorted but the page itself.
    assert "Sort Key: notifications.created_at" not in text, text


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
async def test_a_page_of_messages_begins_at_its_cursor(chat: CrowdedChat, plan: str) -> None:
    await chat.database.execute(
        """
        INSERT INTO messages (connection_id, sender_id, content, created_at)
        SELECT $1, $2, 'm', now() - make_interval(secs => number) FROM generate_series(1, 5000) AS number
        """,
        chat.connection, chat.ada,
    )  # fmt: skip
    await chat.database.execute("ANALYZE messages")
    middle = await chat.database.fetchrow(
        "SELECT created_at, id FROM messages ORDER BY 1 LIMIT 1 OFFSET 2500"
    )
    assert middle is not None
    async with chat.database.transaction() as connection:
        await connection.execute(f"SET LOCAL plan_cache_mode = {plan}")
        lines = await connection.fetch(
            f"EXPLAIN (ANALYZE, COSTS OFF) {queries['list_messages']}",
            chat.connection, middle["created_at"], middle["id"], 20,
        )  # fmt: skip
    text = "\n".join(line[0] for line in lines)
    assert "using idx_messages_page" in text, text
    assert "Rows Removed by Filter" not in text, text
    assert "Sort" not in text, text
