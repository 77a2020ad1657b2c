"""A picture is deleted with its row: recorded in the same transaction, and completed after any failure."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from db.jobs import hasten_jobs
from db.object_deletions import ObjectDeletions
from db.pool import Database
from db.queries import queries
from semblance.errors import StorageError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import full_key, keys_of
from semblance.storage.store import Storage
from tests.support.rows import add_face, add_match, add_profile


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    url = None if request.param == "folder" else f"{request.getfixturevalue('bucket')}/pictures"
    return open_storage(Settings(home=tmp_path / "home", storage_url=url))


@pytest.fixture
def deletions(database: Database) -> ObjectDeletions:
    return ObjectDeletions(database)


async def recorded(database: Database) -> list[str]:
    return [row["key"] for row in await database.fetch("SELECT key FROM object_deletions ORDER BY key")]


def pair(dsn: str) -> tuple[UUID, UUID, UUID]:
    """Two users with a match and two babies, one on another host; returns one user, their face, the match."""
    with psycopg.connect(dsn) as connection:
        user, other = add_profile(connection), add_profile(connection)
        face = add_face(connection, user, image_path=full_key("faces/a"))
        match = add_match(connection, face, add_face(connection, other, image_path="faces/b.heic"))
        connection.execute(
            "INSERT INTO babies (match_id, image_url) VALUES (%s, 'babies/c.jpg'), (%s, 'https://old/c.jpg')",
            (match, match),
        )
    return user, face, match


@pytest.mark.parametrize(
    ("statement", "keys"),
    [
        ("DELETE FROM faces WHERE id = $2", ["babies/c.jpg", "faces/a.full.jpg"]),
        ("DELETE FROM profiles WHERE id = $1", ["babies/c.jpg", "faces/a.full.jpg"]),
        ("DELETE FROM matches WHERE id = $3", ["babies/c.jpg"]),
        ("DELETE FROM babies", ["babies/c.jpg"]),
        ("DELETE FROM profiles", ["babies/c.jpg", "faces/a.full.jpg", "faces/b.heic"]),
        ("UPDATE faces SET image_path = 'faces/new' WHERE id = $2", ["faces/a.full.jpg"]),
        ("UPDATE babies SET image_url = 'babies/new'", ["babies/c.jpg"]),
        ("UPDATE faces SET image_path = image_path, age = 30", []),
    ],
)
async def test_every_way_to_delete_a_row_records_its_picture(
    database: Database, dsn: str, statement: str, keys: list[str]
) -> None:
    ids = pair(dsn)
    # PostgreSQL wants each parameter to be used.
    used = f"WITH given AS (SELECT $1::uuid, $2::uuid, $3::uuid) {statement}"
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as connection:
            await connection.execute(used, *ids)
            raise ZeroDivisionError
    assert await recorded(database) == []
    await database.execute(used, *ids)
    assert await recorded(database) == keys


async def test_celebrities_too(database: Database) -> None:
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', 'celebrities/a.jpg')")
    await database.execute("DELETE FROM celebrities")
    assert await recorded(database) == ["celebrities/a.jpg"]


async def test_all_files_of_a_picture_go(
    database: Database, dsn: str, storage: Storage, deletions: ObjectDeletions
) -> None:
    user, _, _ = pair(dsn)
    for key in (*keys_of(full_key("faces/a")), "faces/b.heic", "babies/c.jpg"):
        await storage.put(key, b"1", "image/jpeg")
    await database.execute("DELETE FROM profiles WHERE id = $1", user)
    assert await deletions.is_deleted(full_key("faces/a"))
    assert not await deletions.is_deleted("faces/b.heic")
    assert await deletions.drain(storage) == 2
    assert await storage.keys("faces") == ["faces/b.heic"]
    assert await storage.keys("babies") == []
    assert await recorded(database) == []
    assert await deletions.drain(storage) == 0


async def test_missing_files_and_invalid_keys_are_done(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    await database.execute(
        "INSERT INTO object_deletions (key) VALUES ('faces/gone.jpg'), ('../no key'), ('')"
    )
    assert await deletions.drain(storage) == 3
    assert await recorded(database) == []


async def test_a_store_that_fails_is_retried_at_growing_intervals(
    database: Database, storage: Storage, deletions: ObjectDeletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StorageError("The picture store failed: it is read-only.")

    await storage.put("faces/a.jpg", b"1", "image/jpeg")
    await database.execute("INSERT INTO object_deletions (key) VALUES ('faces/a.jpg')")
    waits = []
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", refuse)
        for _ in range(12):
            assert await deletions.drain(storage) == 0
            wait = "SELECT extract(epoch FROM due_at - now())::float8 FROM object_deletions"
            waits.append(round(await database.fetchval(wait)))
            await database.execute("UPDATE object_deletions SET due_at = now()")
    assert waits[:4] == [2, 4, 8, 16]
    assert waits[-1] == 1024
    assert await deletions.drain(storage) == 1
    assert not await storage.exists("faces/a.jpg")


async def test_pictures_in_hand_are_no_other_workers(
    database: Database, storage: Storage, deletions: ObjectDeletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storage that takes longer than the first retry waits is not asked twice."""
    await database.execute("INSERT INTO object_deletions (key) VALUES ('faces/a.jpg')")
    obey = Storage.delete
    asked = []

    async def slowly(self: Storage, key: str) -> None:
        asked.append(key)
        await database.execute("UPDATE object_deletions SET due_at = due_at - interval '50 seconds'")
        assert await deletions.drain(storage) == 0
        await obey(self, key)

    monkeypatch.setattr(Storage, "delete", slowly)
    assert await deletions.drain(storage) == 1
    assert len(asked) == len(set(asked)) > 0


async def test_a_picture_that_two_workers_removed_counts_once(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    await database.execute("INSERT INTO object_deletions (key) VALUES ('faces/a.jpg')")
    assert sorted(await asyncio.gather(*(deletions.finish(storage, ["faces/a.jpg"]) for _ in range(2)))) == [
        0,
        1,
    ]


async def test_a_deletion_by_a_worker_that_dies_is_completed_by_the_next(
    database: Database, storage: Storage, deletions: ObjectDeletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the store is called, and after it has deleted."""
    await database.execute("INSERT INTO object_deletions (key) VALUES ('faces/a.jpg')")
    for dies_at in ("before", "after"):
        await storage.put("faces/a.jpg", b"1", "image/jpeg")
        obey = Storage.delete

        async def die(self: Storage, key: str, dies_at: str = dies_at, obey: object = obey) -> None:
            if dies_at == "after":
                await obey(self, key)  # type: ignore[operator]
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(Storage, "delete", die)
            with pytest.raises(asyncio.CancelledError):
                await deletions.drain(storage)
        assert await recorded(database) == ["faces/a.jpg"]
        await database.execute("UPDATE object_deletions SET due_at = now()")
    assert await deletions.drain(storage) == 1
    assert not await storage.exists("faces/a.jpg")


async def test_several_workers_share_the_work(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    await database.execute(
        "INSERT INTO object_deletions (key) SELECT 'faces/' || n FROM generate_series(1, 250) n"
    )
    removed = await asyncio.gather(*(deletions.drain(storage) for _ in range(3)))
    assert sum(removed) == 250
    assert await recorded(database) == []


async def test_a_celebrity_that_came_again_keeps_the_picture(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    insert = "INSERT INTO celebrities (name, image_path) VALUES ('A', 'celebrities/a.full.jpg')"
    await database.execute(insert)
    await database.execute("DELETE FROM celebrities")
    await storage.put("celebrities/a.full.jpg", b"again", "image/jpeg")
    await database.execute(insert)
    assert await deletions.drain(storage) == 0
    assert await storage.exists("celebrities/a.full.jpg")
    assert not await deletions.is_deleted("celebrities/a.full.jpg")


async def test_a_picture_without_a_row_is_discarded(
    database: Database, storage: Storage, deletions: ObjectDeletions, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StorageError("The picture store failed: it is read-only.")

    key = full_key("babies/a")
    for name in keys_of(key):
        await storage.put(name, b"1", "image/jpeg")
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", refuse)
        await deletions.discard(storage, key)
    assert await recorded(database) == [key]
    await deletions.discard(storage, key)
    assert await recorded(database) == await storage.keys("babies") == []


@pytest.mark.parametrize("named_by", ["faces.image_path", "celebrities.image_path", "babies.image_url"])
async def test_a_picture_that_rows_share_goes_with_the_last_of_them(
    database: Database, dsn: str, storage: Storage, deletions: ObjectDeletions, named_by: str
) -> None:
    table, column = named_by.split(".")
    pair(dsn)
    await database.execute(
        "INSERT INTO celebrities (name, image_path) VALUES ('A', 'celebrities/a'), ('B', 'celebrities/b')"
    )
    await storage.put("shared.jpg", b"1", "image/jpeg")
    await database.execute(f"UPDATE {table} SET {column} = 'shared.jpg'")
    await database.execute("DELETE FROM object_deletions")
    one = f"(SELECT id FROM {table} WHERE {column} = 'shared.jpg' LIMIT 1)"
    await database.execute(f"UPDATE {table} SET {column} = 'other.jpg' WHERE id = {one}")
    assert await recorded(database) == []
    # However the deletion is recorded, the shared picture stays.
    assert await deletions.finish(storage, ["shared.jpg"]) == 0
    await database.execute("INSERT INTO object_deletions (key) VALUES ('shared.jpg')")
    assert not await deletions.is_deleted("shared.jpg")
    assert await deletions.finish(storage, ["shared.jpg"]) == 0
    assert await deletions.drain(storage) == 0
    await deletions.discard(storage, "shared.jpg")
    assert await storage.exists("shared.jpg")
    assert await recorded(database) == []
    await database.execute(f"DELETE FROM {table} WHERE id = {one}")
    assert await deletions.finish(storage, ["shared.jpg"]) == 1
    assert not await storage.exists("shared.jpg")


async def test_what_is_not_recorded_is_not_removed(storage: Storage, deletions: ObjectDeletions) -> None:
    await storage.put("faces/a.jpg", b"1", "image/jpeg")
    assert await deletions.finish(storage, ["faces/a.jpg"]) == 0
    assert await storage.exists("faces/a.jpg")


async def test_a_celebrity_that_comes_again_between_two_batches_or_attempts_keeps_the_picture(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    """The record waits for its next attempt, or the row comes after the drain has begun."""
    key = "celebrities/a.full.jpg"
    await storage.put(key, b"again", "image/jpeg")
    await database.execute(
        "INSERT INTO object_deletions (key, due_at) VALUES ($1, now() + interval '1 hour')", key
    )
    assert await deletions.is_deleted(key)
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', $1)", key)
    assert not await deletions.is_deleted(key)
    await database.execute("UPDATE object_deletions SET due_at = now()")
    assert await database.fetch(queries["claim_deletions"], 10) == []
    await database.execute("UPDATE object_deletions SET due_at = now() + interval '1 hour'")
    assert await deletions.drain(storage) == 0
    assert await recorded(database) == []
    assert await storage.exists(key)


async def test_a_clock_that_is_set_back_holds_up_no_removal(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    await database.execute(
        "INSERT INTO object_deletions (key, due_at)"
        " VALUES ('faces/a.jpg', now() + interval '30 days'), ('faces/b.jpg', now() + interval '17 minutes')"
    )
    assert await deletions.drain(storage) == 0
    await hasten_jobs(database, timedelta(minutes=1))
    assert await deletions.drain(storage) == 1
    assert await recorded(database) == ["faces/b.jpg"]


async def test_a_folder_is_finished_regardless_of_due_times(
    database: Database, storage: Storage, deletions: ObjectDeletions
) -> None:
    await database.execute(
        "INSERT INTO object_deletions (key, due_at, attempts)"
        " SELECT 'celebrities/' || n, now() + interval '1 hour', 1 FROM generate_series(1, 150) n"
        " UNION ALL SELECT 'celebrities_/a', now(), 0"
        # Somebody may undo the deletion.
        " UNION ALL SELECT 'celebrities/kept', now() + interval '1 minute', 0"
    )
    for key in ("celebrities/150", "celebrities/kept"):
        await storage.put(key, b"1", "image/jpeg")
    await deletions.finish_folder(storage, "celebrities")
    assert await recorded(database) == ["celebrities/kept", "celebrities_/a"]
    assert await storage.keys("celebrities") == ["celebrities/kept"]
