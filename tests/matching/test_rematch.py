"""What a rematch writes of the celebrities that its search lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import numpy as np

from db.pool import Database
from matching.rematch import Rematch, RematchCounts, Scope, ShardCandidates
from tests.support.rows_matching import add_celebrities, add_person, famous

CELEBRITIES = Scope(("celebrities",), None, None, 9)


async def test_celebrities_that_changed_after_the_search_are_judged_as_they_are(database: Database) -> None:
    """One is a woman after all, one is of too low a quality, and one was deleted."""
    ada = await add_person(database, gender="female")
    listed = await add_celebrities(database, *(famous(number) for number in range(4)))
    woman, blurred, deleted, same = listed
    rematch = Rematch(database)
    run = await rematch.begin(CELEBRITIES, dry_run=False)
    [shard] = run.left
    faces = await rematch.faces(shard, run.scope)
    found = ShardCandidates(faces.ids[[0] * 4], np.array([key.bytes for key in listed], "V16"), 4)
    await database.execute("UPDATE celebrities SET gender = 'female' WHERE id = $1", woman)
    await database.execute("UPDATE celebrities SET quality_score = 0.1 WHERE id = $1", blurred)
    await database.execute("DELETE FROM celebrities WHERE id = $1", deleted)
    assert await rematch.write(run, shard, faces, found) == RematchCounts(pairs=4, added=1)
    [row] = await database.fetch("SELECT face_id, celebrity_id, id FROM celebrity_matches")
    assert row[:2] == (ada, same)
    assert row["id"].version == 4
    # The same again, with nothing to write.
    assert await rematch.write(run, shard, faces, found) == RematchCounts(pairs=4)


async def three_found(
    database: Database,
) -> tuple[UUID, list[UUID], Callable[[], Coroutine[Any, Any, RematchCounts]]]:
    """A face, three celebrities that were found for it, and what writes these matches."""
    ada = await add_person(database, gender="female")
    listed = await add_celebrities(database, *(famous(number) for number in range(3)))
    rematch = Rematch(database)
    run = await rematch.begin(CELEBRITIES, dry_run=False)
    [shard] = run.left
    faces = await rematch.faces(shard, run.scope)
    found = ShardCandidates(faces.ids[[0] * 3], np.array([key.bytes for key in listed], "V16"), 3)
    return ada, listed, lambda: rematch.write(run, shard, faces, found)


async def test_a_celebrity_who_is_removed_while_matches_are_written_is_left_out(database: Database) -> None:
    """The pairs have been scored, and the insertion waits to see whether one celebrity stays."""
    ada, listed, write = await three_found(database)
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM celebrities WHERE id = $1", listed[1])
        writing = asyncio.create_task(write())
        await someone_waits_for(connection)
    assert await writing == RematchCounts(pairs=3, added=2)
    rows = await database.fetch("SELECT face_id, celebrity_id FROM celebrity_matches ORDER BY celebrity_id")
    assert [tuple(row) for row in rows] == [(ada, star) for star in sorted((listed[0], listed[2]))]


async def test_a_match_that_is_restored_while_matches_are_written_stays(database: Database) -> None:
    """The pairs have been scored, and the insertion waits to see whether one match is stored."""
    ada, listed, write = await three_found(database)
    restored = uuid4()
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO celebrity_matches (id, face_id, celebrity_id, similarity_score)"
            " VALUES ($1, $2, $3, 0.6)",
            restored,
            ada,
            listed[1],
        )
        writing = asyncio.create_task(write())
        await someone_waits_for(connection)
    assert await writing == RematchCounts(pairs=3, added=2)
    rows = await database.fetch("SELECT id, celebrity_id FROM celebrity_matches ORDER BY celebrity_id")
    assert [row["celebrity_id"] for row in rows] == sorted(listed)
    assert restored in {row["id"] for row in rows}


async def someone_waits_for(connection: asyncpg.Connection) -> None:
    """Return when a statement waits for what the connection's transaction does. Asked on that connection,
    because behind a pooler there is no third one."""
    while not await connection.fetchval(  # noqa: ASYNC110 - nothing else tells
        "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted"
        " AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
    ):
        await asyncio.sleep(0.01)
