"""A photo is deleted while others write what depends on it: one waits for the other, and none is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any
from uuid import UUID

import pytest

from db.faces import Faces
from db.pool import Database
from db.profiles import Profiles
from tests.support.realtime import connect_users
from tests.support.reused_database import ReusedDatabase
from tests.support.rows_feed import FeedPair, add_face, add_pair
from tests.support.waiting import WAITING, wait_until


@pytest.fixture
async def database(reused_database: ReusedDatabase) -> Database:
    return await reused_database.pool(reused_database.dsn, 4)


@pytest.fixture
async def pair(database: Database) -> FeedPair:
    return await add_pair(database)


async def between(database: Database, first: str, call: Awaitable[Any], second: str, *on: UUID) -> Any:
    """Does what a transaction does that begins before a call, which waits for it, and goes on afterwards."""
    async with database.transaction() as connection:
        await connection.execute(first, on[0])
        waiting = asyncio.ensure_future(call)
        await wait_until(database, WAITING)
        await connection.execute(second, on[-1])
    return await waiting


async def test_a_photo_is_deleted_while_a_worker_ends_its_match_job(
    database: Database, pair: FeedPair
) -> None:
    await between(
        database,
        "SELECT FROM match_jobs WHERE face_id = $1 FOR UPDATE",
        Faces(database).delete(pair.a, pair.face_a),
        "SELECT FROM faces WHERE id = $1 FOR NO KEY UPDATE",
        pair.face_a,
    )
    assert await database.fetchval("SELECT count(*) FROM match_jobs WHERE face_id = $1", pair.face_a) == 0


async def test_an_account_is_deleted_while_a_worker_ends_a_match_job(
    database: Database, pair: FeedPair
) -> None:
    await between(
        database,
        "SELECT FROM match_jobs WHERE face_id = $1 FOR UPDATE",
        database.execute("SELECT delete_account($1)", pair.a),
        "SELECT FROM faces WHERE id = $1 FOR NO KEY UPDATE",
        pair.face_a,
    )
    assert await database.fetchval("SELECT count(*) FROM profiles WHERE id = $1", pair.a) == 0


async def test_a_photo_is_deleted_while_a_message_is_sent(database: Database, pair: FeedPair) -> None:
    chat = await connect_users(database, pair.a, pair.b)
    await database.execute("UPDATE mutual_connections SET match_id = $1", pair.match)
    await database.execute(
        """
        INSERT INTO notifications (user_id, type, title, related_id, connection_id)
        VALUES ($1, 'new_message', 'New message', $2, $2)
        """,
        pair.b, chat,
    )  # fmt: skip
    await between(
        database,
        "UPDATE mutual_connections SET updated_at = now() WHERE id = $1",
        Faces(database).delete(pair.a, pair.face_a),
        "UPDATE notifications SET message = 'Hi' WHERE connection_id = $1",
        chat,
    )
    assert await database.fetchval("SELECT count(*) FROM notifications") == 0


async def test_a_photo_is_deleted_while_notifications_are_cleared(database: Database, pair: FeedPair) -> None:
    low, high = UUID(int=1), UUID(int=2)
    for identity in (low, high):
        await database.execute(
            """
            INSERT INTO notifications (id, user_id, type, title, related_id)
            VALUES ($1, $2, 'mutual_match', 'It is mutual!', $3)
            """,
            identity, pair.b, pair.match,
        )  # fmt: skip
    one = "SELECT FROM notifications WHERE id = $1 FOR UPDATE"
    await between(database, one, Faces(database).delete(pair.a, pair.face_a), one, low, high)
    assert await database.fetchval("SELECT count(*) FROM notifications") == 0


async def test_a_photo_is_deleted_while_it_is_made_the_default(database: Database, pair: FeedPair) -> None:
    await add_face(database, pair.a, default=True)
    changed = await between(
        database,
        "SELECT FROM profiles WHERE id = $1 FOR NO KEY UPDATE",
        Profiles(database).update(pair.a, {"default_face_id": str(pair.face_a)}),
        "DELETE FROM faces WHERE id = $1",
        pair.a,
        pair.face_a,
    )
    assert changed is None
