"""The number of matches, kept in a separate table."""

from __future__ import annotations

import asyncio

from db.pool import Database
from tests.support.rows_feed import add_face, add_match, add_pair, add_profile
from tests.support.waiting import PATIENCE_S

ADD = """
    INSERT INTO matches (face_a_id, face_b_id, similarity_score)
    VALUES (least($1::uuid, $2), greatest($1::uuid, $2), 0.5)
"""


async def counted(database: Database) -> int:
    return int(await database.fetchval("SELECT sum(count) FROM match_counts"))


async def test_writers_do_not_wait_for_each_other(database: Database) -> None:
    pair = await add_pair(database)
    first, second = [await add_face(database, await add_profile(database)) for _ in range(2)]
    async with database.transaction() as one:
        await one.execute(ADD, pair.face_a, first)
        async with database.transaction() as two:
            await asyncio.wait_for(two.execute(ADD, pair.face_a, second), PATIENCE_S)
        # The other transaction is counted, the open one is not yet.
        assert await counted(database) == 2
    assert await counted(database) == 3


async def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    pair = await add_pair(database)
    face = await add_face(database, await add_profile(database))
    async with database.transaction() as connection:
        undone = connection.transaction()
        await undone.start()
        await connection.execute(ADD, pair.face_a, face)
        await undone.rollback()
    assert await counted(database) == 1


async def test_deleting_a_face_or_a_profile_lowers_the_count(database: Database) -> None:
    pair = await add_pair(database)
    other = await add_face(database, pair.b)
    await add_match(database, pair.face_a, other)
    assert await counted(database) == 2
    await database.execute("DELETE FROM faces WHERE id = $1", other)
    assert await counted(database) == 1
    await database.execute("DELETE FROM profiles WHERE id = $1", pair.a)
    assert await counted(database) == 0
