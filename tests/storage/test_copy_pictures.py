"""The old app's pictures are copied from their locations despite interruptions, and the originals
stay."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import obstore
import psycopg
import pytest

from db.object_deletions import ObjectDeletions
from db.pool import Database
from db.raw_pictures import RawPictures
from db.stored_pictures import PictureRow
from ops.storage.clean import Cleaned, CleanOutcome, clean, look_for
from ops.storage.sweep import SweepReport, sweep
from semblance.errors import StorageError
from semblance.picture_tables import PictureTable
from semblance.settings import Settings
from semblance.storage.locations import Original, copy_key
from semblance.storage.opening import open_storage
from semblance.storage.pictures import StoredPicture, full_key, keys_of, put_picture
from semblance.storage.store import Storage
from tests.support.commands import semblance
from tests.support.laden import assert_only_a_picture, laden, portrait
from tests.support.photos import encoded
from tests.support.picture_upkeep import named_keys, stored_keys

Copy = Callable[[], Awaitable[Counter[CleanOutcome]]]

FACES = {"0b/1699-ab.jpg": "JPEG", "0b/1700-cd.png": "PNG", "1c/with space (1).heic": "HEIF"}
CELEBRITIES = {"tom_hanks.jpg": "JPEG", "actors/Zoë.tiff": "TIFF"}
TABLES: tuple[PictureTable, ...] = ("faces", "celebrities")


@pytest.fixture(params=["folder", "bucket"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Three stores: the main one, and one for each table of the old app."""
    if request.param == "bucket":
        bucket = request.getfixturevalue("bucket")
        places = {name: f"{bucket}/{name}" for name in ("main", "faces", "celebrity-images")}
    else:
        folders = {name: tmp_path / name for name in ("main", "faces", "celebrity-images")}
        for folder in folders.values():
            folder.mkdir()
        places = {name: folder.as_uri() for name, folder in folders.items()}
    return Settings(
        home=tmp_path / "home",
        storage_url=places["main"],
        old_storage={"faces": places["faces"], "celebrities": places["celebrity-images"]},
    )


folder_alone = pytest.mark.parametrize("settings", ["folder"], indirect=True)
"""For tests that do not depend on the kind of store."""


@pytest.fixture
def run(database: Database, storage: Storage, settings: Settings, results: list[Cleaned]) -> Copy:
    return lambda: clean(database, storage, settings, results.append, list(storage.locations))


def put(storage: Storage, table: PictureTable, path: str, data: bytes) -> None:
    obstore.put(storage.locations[table]._store, path, data)


def originals(storage: Storage) -> dict[tuple[str, str], bytes]:
    """All pictures of the old app."""
    found: dict[tuple[str, str], bytes] = {}
    for table, location in storage.locations.items():
        for chunk in obstore.list(location._store):
            for meta in chunk:
                found[table, meta["path"]] = bytes(obstore.get(location._store, meta["path"]).bytes())
    return found


async def add_all(database: Database, storage: Storage) -> UUID:
    """A row and a file of the old app for each of FACES and CELEBRITIES, a baby on another host, a new
    picture, and a chat that shows the first face; returns its owner."""
    ada, bob, connection = uuid4(), uuid4(), uuid4()
    await database.execute(
        "INSERT INTO profiles (id, profile_type) VALUES ($1, 'user'), ($2, 'user')", ada, bob
    )
    insert = "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2) RETURNING id"
    faces = [await database.fetchval(insert, bob if path.startswith("1c") else ada, path) for path in FACES]
    await database.execute(insert, ada, full_key("faces/new"))
    for path in CELEBRITIES:
        await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', $1)", path)
    match = await database.fetchval(
        "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
        " VALUES (least($1::uuid, $2), greatest($1::uuid, $2), 0.5) RETURNING id",
        faces[0], faces[2],
    )  # fmt: skip
    await database.execute("INSERT INTO babies (match_id, image_url) VALUES ($1, 'https://fal/x.jpg')", match)
    await database.execute(
        "INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id) VALUES ($1, $2, $3, $4)",
        connection, ada, bob, match,
    )  # fmt: skip
    await database.execute(
        "INSERT INTO messages (connection_id, sender_id, content, message_type) VALUES ($1, $2, $3, 'image')",
        connection, ada, next(iter(FACES)),
    )  # fmt: skip
    for table, files in (("faces", FACES), ("celebrities", CELEBRITIES)):
        for path, file_format in files.items():
            put(storage, table, path, laden(portrait(300), file_format))  # type: ignore[arg-type]
    await storage.put(full_key("faces/new"), b"new", "image/jpeg")
    return ada


COPIES = sorted(
    [
        *(copy_key(Original("faces", path)) for path in FACES),
        *(copy_key(Original("celebrities", path)) for path in CELEBRITIES),
    ]
)


async def assert_all_copied(database: Database, storage: Storage) -> None:
    assert await named_keys(database) == sorted([*COPIES, full_key("faces/new"), "https://fal/x.jpg"])
    assert await storage.keys("old") == sorted(name for key in COPIES for name in keys_of(key))
    for key in await storage.keys("old"):
        assert_only_a_picture(await storage.get(key))
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 0
    content = await database.fetchval("SELECT content FROM messages")
    assert content == copy_key(Original("faces", next(iter(FACES))))


async def test_everything_is_copied_once_and_the_originals_stay(
    database: Database, storage: Storage, run: Copy
) -> None:
    await add_all(database, storage)
    before = originals(storage)
    assert await run() == {"cleaned": 5}
    await assert_all_copied(database, storage)
    assert await run() == {}
    await ObjectDeletions(database).drain(storage)
    assert originals(storage) == before
    assert len(before) == 5
    assert await compared(database, storage, []) == (0, 0)


async def test_a_dry_run_changes_nothing_and_names_what_is_missing(
    database: Database, storage: Storage, results: list[Cleaned]
) -> None:
    await add_all(database, storage)
    await storage.locations["celebrities"].delete("tom_hanks.jpg")
    names = await named_keys(database)
    found = await look_for(database, storage, results.append, TABLES)
    assert found == {"cleaned": 4, "missing": 1}
    assert [each.picture.key for each in results if each.outcome == "missing"] == ["tom_hanks.jpg"]
    assert await named_keys(database) == names
    assert await storage.keys("old") == []


@folder_alone
@pytest.mark.parametrize("step", ["put", "get", "replaced"])
async def test_killed_at_any_step_nothing_is_lost_and_the_next_run_completes_it(
    database: Database, storage: Storage, run: Copy, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await add_all(database, storage)
    before = originals(storage)
    calls = 0

    class Killed(BaseException):
        pass

    def dying(method: Callable[..., Awaitable[Any]], survived: int) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > survived:
                raise Killed
            return await method(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        if step == "replaced":
            patch.setattr(RawPictures, "replace", dying(RawPictures.replace, 2))
        else:
            patch.setattr(Storage, step, dying(getattr(Storage, step), 4))
        with pytest.raises(Killed):
            await run()
    # Every picture named by a row can be read.
    for name in await named_keys(database):
        if name in COPIES:
            assert [await storage.exists(file) for file in keys_of(name)] == [True] * 3
    assert originals(storage) == before
    assert (await run()).keys() == {"cleaned"}
    await assert_all_copied(database, storage)
    assert originals(storage) == before


@folder_alone
async def test_a_copy_that_the_store_returns_changed_does_not_count(
    database: Database, storage: Storage, run: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(database, storage)
    names, get = await named_keys(database), Storage.get

    async def spoilt(self: Storage, key: str) -> bytes:
        return (await get(self, key))[:-1]

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "get", spoilt)
        with pytest.raises(StorageError, match="with other content"):
            await run()
    assert await named_keys(database) == names
    assert await run() == {"cleaned": 5}


@folder_alone
async def test_a_picture_that_cannot_be_copied_is_named_and_its_row_stays(
    database: Database, storage: Storage, settings: Settings, results: list[Cleaned]
) -> None:
    await add_all(database, storage)
    settings = settings.model_copy(update={"max_image_bytes": 150_000})
    storage = open_storage(settings)
    put(storage, "faces", "0b/1699-ab.jpg", b"no picture")
    put(storage, "faces", "0b/1700-cd.png", b"x" * 200_000)
    await storage.locations["celebrities"].delete("tom_hanks.jpg")
    await database.execute("UPDATE celebrities SET image_path = 'a//b/../c' WHERE image_path LIKE 'actors/%'")
    counts = await clean(database, storage, settings, results.append, TABLES)
    assert counts == {"cleaned": 1, "unreadable": 2, "missing": 2}
    left = {each.picture.key: each for each in results if each.outcome != "cleaned"}
    assert left.keys() == {"0b/1699-ab.jpg", "0b/1700-cd.png", "tom_hanks.jpg", "a//b/../c"}
    assert all(each.reason for each in left.values())
    assert left.keys() <= set(await named_keys(database))
    # They block no more than before.
    assert await clean(database, storage, settings, results.append, TABLES) == {"unreadable": 2, "missing": 2}


@folder_alone
async def test_landmarks_follow_a_picture_that_shrinks(
    database: Database, storage: Storage, run: Copy
) -> None:
    await add_all(database, storage)
    put(storage, "faces", "0b/1699-ab.jpg", encoded(portrait(4096)))
    points = [[float(4 * number), 100.0] for number in range(68)]
    await database.execute("UPDATE faces SET landmarks_68 = $1 WHERE image_path = '0b/1699-ab.jpg'", points)
    await run()
    query = "SELECT landmarks_68 FROM faces WHERE image_path = 'old/faces/0b/1699-ab.jpg.full.jpg'"
    found = np.array(await database.fetchval(query))
    assert np.abs(found - ((np.array(points) + 0.5) / 2 - 0.5)).max() < 0.02


@folder_alone
async def test_a_row_that_changes_meanwhile_is_left_alone(
    database: Database, dsn: str, storage: Storage, run: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old app gives it another picture, or its user deletes it."""
    await add_all(database, storage)
    put(storage, "faces", "0b/newer.jpg", laden(portrait(300), "JPEG"))
    replace, changed = RawPictures.replace, False

    async def late(self: RawPictures, *args: Any, **options: Any) -> bool:
        nonlocal changed
        if not changed:
            changed = True
            with psycopg.connect(dsn) as connection:
                connection.execute("DELETE FROM faces WHERE image_path = '0b/1700-cd.png'")
                connection.execute(
                    "UPDATE faces SET image_path = '0b/newer.jpg' WHERE image_path = '0b/1699-ab.jpg'"
                )
        return await replace(self, *args, **options)

    monkeypatch.setattr(RawPictures, "replace", late)
    assert await run() == {"cleaned": 3, "changed": 2}
    assert "0b/newer.jpg" in await named_keys(database)
    assert await run() == {"cleaned": 1}
    assert copy_key(Original("faces", "0b/newer.jpg")) in await named_keys(database)


@folder_alone
async def test_equal_paths_of_two_tables_stay_apart_and_shared_ones_together(
    database: Database, storage: Storage, run: Copy
) -> None:
    await add_all(database, storage)
    path = "0b/1699-ab.jpg"
    put(storage, "celebrities", path, encoded(portrait(200)))
    await database.execute("UPDATE faces SET image_path = $1 WHERE image_path NOT LIKE '%.full.jpg'", path)
    await database.execute("UPDATE celebrities SET image_path = $1", path)
    await database.execute("DELETE FROM object_deletions")
    assert await run() == {"cleaned": 5}
    face, celebrity = (copy_key(Original(table, path)) for table in TABLES)
    assert Counter(await named_keys(database)) == {
        face: 3, celebrity: 2, full_key("faces/new"): 1, "https://fal/x.jpg": 1,
    }  # fmt: skip
    assert assert_only_a_picture(await storage.get(face)).size == (300, 300)
    assert assert_only_a_picture(await storage.get(celebrity)).size == (200, 200)
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 0


@folder_alone
async def test_a_picture_stored_unchanged_by_an_earlier_version_is_copied_from_the_main_store(
    database: Database, storage: Storage, run: Copy
) -> None:
    await add_all(database, storage)
    key = "faces/a/raw.jpg"
    await storage.put(key, laden(portrait(300), "JPEG"), "image/jpeg")
    await database.execute("UPDATE faces SET image_path = $1 WHERE image_path = '0b/1699-ab.jpg'", key)
    assert await run() == {"cleaned": 5}
    assert copy_key(Original("faces", key)) in await named_keys(database)


@folder_alone
async def test_cleaning_the_main_store_leaves_rows_of_the_old_app_alone(
    database: Database, storage: Storage, settings: Settings
) -> None:
    await add_all(database, storage)
    names = await named_keys(database)
    assert await clean(database, storage, settings, lambda _: None, ["babies"]) == {}
    assert await named_keys(database) == names


# Deletion and the sweep.


async def make_copy(storage: Storage, table: PictureTable, path: str) -> str:
    """As the API creates it at the first request."""

    key = copy_key(Original(table, path))
    small = encoded(portrait(64))
    await put_picture(storage, key, StoredPicture(small, small, small, 1.0))
    return key


async def delete(database: Database, storage: Storage, statement: str) -> None:
    await database.execute(statement)
    await database.execute("UPDATE object_deletions SET due_at = now()")
    await ObjectDeletions(database).drain(storage)


@pytest.mark.parametrize("copied", [False, True])
async def test_deleting_a_picture_deletes_its_original_and_its_copy(
    database: Database, storage: Storage, run: Copy, copied: bool
) -> None:
    await add_all(database, storage)
    path = "1c/with space (1).heic"
    key = copy_key(Original("faces", path))
    await make_copy(storage, "faces", path)
    if copied:
        await run()
    deletions = ObjectDeletions(database)
    assert not await deletions.is_deleted(key)
    await database.execute(f"DELETE FROM faces WHERE image_path IN ('{path}', '{key}')")
    assert await deletions.is_deleted(key)
    assert await deletions.drain(storage) == 1
    assert ("faces", path) not in originals(storage)
    assert len(originals(storage)) == 4
    assert not [name for name in await stored_keys(storage) if "space" in name]
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 0


@folder_alone
async def test_a_picture_stays_as_long_as_a_row_names_its_original_or_its_copy(
    database: Database, storage: Storage
) -> None:
    ada = await add_all(database, storage)
    path = "0b/1699-ab.jpg"
    key = await make_copy(storage, "faces", path)
    await database.execute("INSERT INTO faces (profile_id, image_path) VALUES ($1, $2)", ada, key)
    await delete(database, storage, f"DELETE FROM faces WHERE image_path = '{path}'")
    assert await storage.exists(key)
    assert await storage.locations["faces"].exists(path)
    assert not await ObjectDeletions(database).is_deleted(key)
    await delete(database, storage, f"DELETE FROM faces WHERE image_path = '{key}'")
    assert not await storage.exists(key)
    assert not await storage.locations["faces"].exists(path)


@folder_alone
async def test_a_deletion_reaches_only_the_location_of_its_table(
    database: Database, storage: Storage
) -> None:
    await add_all(database, storage)
    path = "tom_hanks.jpg"
    put(storage, "faces", path, b"of somebody else, without a row")
    await delete(database, storage, f"DELETE FROM celebrities WHERE image_path = '{path}'")
    assert ("celebrities", path) not in originals(storage)
    assert ("faces", path) in originals(storage)


@folder_alone
async def test_a_location_that_refuses_is_asked_again(
    database: Database, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(database, storage)

    async def refuse(*_: object) -> None:
        raise StorageError("The picture store failed: it is read-only.")

    with monkeypatch.context() as patch:
        patch.setattr("semblance.storage.locations.Location.delete", refuse)
        await delete(database, storage, "DELETE FROM celebrities")
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 2
    await delete(database, storage, "SELECT 1")
    assert {table for table, _ in originals(storage)} == {"faces"}


async def compared(database: Database, storage: Storage, dangling: list[PictureRow]) -> tuple[int, int]:
    report: SweepReport = await sweep(
        database, storage, grace=timedelta(0), dry_run=False, force=False,
        on_progress=lambda *_: None, on_dangling=dangling.append,
    )  # fmt: skip
    return report.orphans, report.dangling


async def test_the_sweep_knows_copies_and_originals(database: Database, storage: Storage) -> None:
    await add_all(database, storage)
    kept = await make_copy(storage, "faces", "0b/1699-ab.jpg")
    orphan = await make_copy(storage, "faces", "gone.jpg")
    await storage.locations["celebrities"].delete("tom_hanks.jpg")
    before, dangling = originals(storage), list[PictureRow]()
    assert await compared(database, storage, dangling) == (3, 1)
    assert [row.key for row in dangling] == ["tom_hanks.jpg"]
    assert await storage.exists(kept)
    assert not await storage.exists(orphan)
    assert originals(storage) == before


# The command.


def command(settings: Settings, dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {
        "SEMBLANCE_HOME": str(settings.home),
        "SEMBLANCE_STORAGE_URL": str(settings.storage_url),
        "SEMBLANCE_OLD_STORAGE": ",".join(f"{table}={url}" for table, url in settings.old_storage.items()),
        "SEMBLANCE_DATABASE_URL": dsn,
    }
    environment = {**os.environ, **variables, "NO_COLOR": "1", "COLUMNS": "100"}
    return semblance("storage", *arguments, environment=environment)


@folder_alone
async def test_the_command(
    database: Database, storage: Storage, settings: Settings, dsn: str, tmp_path: Path
) -> None:
    await add_all(database, storage)
    names = await named_keys(database)
    done = command(settings, dsn, "copy", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "3 rows of faces name pictures in file:///" in done.stdout
    assert "would be copied" in done.stdout
    assert await named_keys(database) == names
    done = command(settings, dsn, "clean", "--dry-run")
    assert "5 more are in the old app's buckets" in done.stdout

    await storage.locations["celebrities"].delete("tom_hanks.jpg")
    done = command(settings, dsn, "copy", "--report", str(tmp_path / "report.jsonl"))
    assert done.returncode == 1, done.stderr
    assert "missing celebrities" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert Counter(line["outcome"] for line in lines) == {"copied": 4, "missing": 1}
    [record] = await database.fetch("SELECT action, after FROM audit_log")
    assert tuple(record) == ("pictures.copy", {"cleaned": 4, "missing": 1})
    copied = {line["path"]: line["key"] for line in lines if line["outcome"] == "copied"}
    assert set(copied.values()) <= set(COPIES)
    (missing,) = (line for line in lines if line["outcome"] == "missing")
    assert (missing["table"], missing["path"]) == ("celebrities", "tom_hanks.jpg")
    assert missing["reason"]


def test_the_command_needs_the_location(dsn: str, tmp_path: Path) -> None:
    done = command(Settings(home=tmp_path, storage_url=tmp_path.as_uri()), dsn, "copy")
    assert done.returncode == 1
    assert "SEMBLANCE_OLD_STORAGE" in done.stderr
