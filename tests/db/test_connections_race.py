"""What happens when both users of a match act at the same instant."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from db.connections import Connections, lock_match, open_when_mutual
from db.pool import Database
from db.reactions import Reactions
from semblance.errors import ConflictError, NotFoundError
from tests.support.reused_database import ReusedDatabase
from tests.support.rows_feed import FeedPair, add_baby, add_face, add_match, add_pair

ROUNDS = 40


@pytest.fixture
async def database(reused_database: ReusedDatabase) -> Database:
    connected = await reused_database.pool(reused_database.dsn, 8)
    # All connections open before the race, or the first would win it.
    await asyncio.gather(*(connected.execute("SELECT pg_sleep(0.05)") for _ in range(8)))
    return connected


async def make_baby(database: Database, match_id: UUID, profile_id: UUID) -> UUID | None:
    async with database.transaction() as connection:
        await lock_match(connection, match_id)
        await connection.execute(
            "INSERT INTO babies (match_id, generated_by_profile_id, image_url) VALUES ($1, $2, 'x.jpg')",
            match_id, profile_id,
        )  # fmt: skip
        return await open_when_mutual(connection, match_id)


async def assert_connected_once(database: Database, pair: FeedPair) -> UUID:
    """One connection, two notifications, one icebreaker; returns the connection."""
    [found] = await database.fetch(
        "SELECT id, match_id FROM mutual_connections WHERE $1 IN (profile_a_id, profile_b_id)", pair.a
    )
    told = await database.fetch(
        """
        SELECT user_id, related_id, related_type FROM notifications
        WHERE type = 'mutual_match' AND user_id IN ($1, $2)
        """,
        pair.a, pair.b,
    )  # fmt: skip
    assert sorted(row["user_id"] for row in told) == sorted([pair.a, pair.b])
    assert {(row["related_id"], row["related_type"]) for row in told} == {(found["match_id"], "match")}
    messages = await database.fetch(
        "SELECT message_type, sender_id, content FROM messages WHERE connection_id = $1", found["id"]
    )
    assert [row["message_type"] for row in messages] == ["icebreaker"]
    assert messages[0]["sender_id"] in {pair.a, pair.b}
    connection_id: UUID = found["id"]
    return connection_id


async def test_both_like_at_the_same_instant(database: Database) -> None:
    reactions = Reactions(database)
    pairs = [await add_pair(database) for _ in range(ROUNDS)]
    for pair in pairs:
        answers = await asyncio.gather(reactions.like(pair.match, pair.a), reactions.like(pair.match, pair.b))
        opened = [connection_id for _, connection_id in answers if connection_id is not None]
        assert opened == [await assert_connected_once(database, pair)]


async def test_the_later_like_sends_the_icebreaker(database: Database) -> None:
    pair = await add_pair(database, score=0.866)
    reactions = Reactions(database)
    await reactions.like(pair.match, pair.b)
    await reactions.like(pair.match, pair.a)
    await assert_connected_once(database, pair)
    [message] = await database.fetch("SELECT sender_id, content FROM messages")
    assert message["sender_id"] == pair.a
    assert "87 %" in message["content"]
    texts = {row["user_id"]: row["message"] for row in await database.fetch("SELECT * FROM notifications")}
    assert "Bob" in texts[pair.a] and "Ada" in texts[pair.b]


async def test_likes_of_two_matches_of_one_pair(database: Database) -> None:
    reactions = Reactions(database)
    for _ in range(ROUNDS):
        pair = await add_pair(database)
        other = await add_match(database, await add_face(database, pair.a), await add_face(database, pair.b))
        answers = await asyncio.gather(
            *(reactions.like(match, user) for match in (pair.match, other) for user in (pair.a, pair.b))
        )
        assert len([opened for _, opened in answers if opened is not None]) == 1
        await assert_connected_once(database, pair)


async def test_babies_and_likes_at_the_same_instant(database: Database) -> None:
    reactions = Reactions(database)
    for _ in range(ROUNDS):
        pair = await add_pair(database)
        await asyncio.gather(
            make_baby(database, pair.match, pair.a),
            reactions.like(pair.match, pair.b),
            make_baby(database, pair.match, pair.b),
            reactions.like(pair.match, pair.a),
        )
        await assert_connected_once(database, pair)


async def test_one_user_liking_many_times_at_once_likes_once(database: Database) -> None:
    pair = await add_pair(database)
    reactions = Reactions(database)
    answers = await asyncio.gather(
        *(reactions.like(pair.match, pair.a) for _ in range(8)), return_exceptions=True
    )
    assert len([answer for answer in answers if isinstance(answer, ConflictError)]) == 7
    assert await database.fetchval("SELECT count(*) FROM reactions") == 1
    assert await database.fetchval("SELECT count(*) FROM mutual_connections") == 0


async def test_a_like_and_a_baby_are_not_mutual(database: Database) -> None:
    pair = await add_pair(database)
    await Reactions(database).like(pair.match, pair.a)
    assert await make_baby(database, pair.match, pair.b) is None
    assert await make_baby(database, pair.match, pair.b) is None
    assert await database.fetchval("SELECT count(*) FROM mutual_connections") == 0


async def test_the_connection_shows_the_newest_baby_of_its_match(database: Database) -> None:
    pair = await add_pair(database)
    await make_baby(database, pair.match, pair.a)
    connection_id = await make_baby(database, pair.match, pair.b)
    assert connection_id is not None
    await add_baby(database, pair.match, pair.a, "babies/newest.jpg")
    async with database.transaction() as connection:
        await lock_match(connection, pair.match)
        assert await open_when_mutual(connection, pair.match) is None
    found = await Connections(database).get(connection_id, user_id=pair.a)
    assert found.baby_image == "babies/newest.jpg"


async def test_a_blocked_connection_stays_blocked(database: Database) -> None:
    reactions, connections = Reactions(database), Connections(database)
    pair = await add_pair(database)
    await reactions.like(pair.match, pair.a)
    _, connection_id = await reactions.like(pair.match, pair.b)
    assert connection_id is not None
    await connections.set_status(connection_id, "blocked", user_id=pair.a)
    other = await add_match(database, await add_face(database, pair.a), await add_face(database, pair.b))
    for user in (pair.a, pair.b):
        assert (await reactions.like(other, user))[1] is None
    assert await assert_connected_once(database, pair) == connection_id
    assert (await connections.get(connection_id, user_id=pair.b)).status == "blocked"


async def test_a_match_of_two_faces_of_one_user_connects_nobody(database: Database) -> None:
    pair = await add_pair(database)
    own = await add_match(database, pair.face_a, await add_face(database, pair.a))
    assert (await Reactions(database).like(own, pair.a))[1] is None


async def test_liking_while_the_face_is_deleted(database: Database) -> None:
    reactions = Reactions(database)
    for _ in range(ROUNDS):
        pair = await add_pair(database)
        await reactions.like(pair.match, pair.a)
        answer, _ = await asyncio.gather(
            reactions.like(pair.match, pair.b),
            database.execute("DELETE FROM faces WHERE id = $1", pair.face_a),
            return_exceptions=True,
        )
        assert isinstance(answer, tuple | NotFoundError), answer
    assert await database.fetchval("SELECT count(*) FROM mutual_connections") == 0
    assert await database.fetchval("SELECT count(*) FROM messages") == 0


async def test_only_the_user_who_blocked_first_can_unblock(database: Database) -> None:
    reactions, connections = Reactions(database), Connections(database)
    for _ in range(ROUNDS // 2):
        pair = await add_pair(database)
        await reactions.like(pair.match, pair.a)
        _, connection_id = await reactions.like(pair.match, pair.b)
        assert connection_id is not None
        await asyncio.gather(
            connections.set_status(connection_id, "blocked", user_id=pair.a),
            connections.set_status(connection_id, "blocked", user_id=pair.b),
            connections.set_status(connection_id, "archived", user_id=pair.b),
            return_exceptions=True,
        )
        row = await database.fetchrow(
            "SELECT status, blocked_by FROM mutual_connections WHERE id = $1", connection_id
        )
        assert row is not None
        assert (row["status"] == "blocked") == (row["blocked_by"] is not None)
