"""Pictures stored unchanged are cleaned despite interruptions, and everything that shows them follows."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from db.object_deletions import ObjectDeletions
from db.pool import Database
from db.raw_pictures import RawPictures
from ops.storage.clean import Cleaned, CleanOutcome, clean
from ops.storage.sweep import sweep
from semblance.errors import StorageError
from semblance.settings import Settings
from semblance.storage.pictures import full_key, keys_of
from semblance.storage.store import Storage
from tests.support.commands import semblance
from tests.support.laden import SECRET, assert_only_a_picture, laden, portrait
from tests.support.photos import encoded
from tests.support.picture_upkeep import named_keys, stored_keys

Clean = Callable[[], Awaitable[Counter[CleanOutcome]]]

KEYS = {
    "faces/a/1.jpg": "JPEG",
    "faces/a/1.png": "PNG",
    "faces/b/2.heic": "HEIF",
    "celebrities/ab/ab.tiff": "TIFF",
    "babies/x.jpg": "JPEG",
}


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return (tmp_path / "pictures").as_uri()
    return f"{request.getfixturevalue('bucket')}/pictures"


folder_alone = pytest.mark.parametrize("url", ["folder"], indirect=True)
"""For tests that do not depend on the kind of store."""


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", storage_url=url)


@pytest.fixture
def run(database: Database, storage: Storage, settings: Settings, results: list[Cleaned]) -> Clean:
    return lambda: clean(database, storage, settings, results.append)


async def add_rows(database: Database) -> UUID:
    """A row for each of KEYS and some of other hosts, and a chat that shows one picture of each kind; returns
    the sender."""
    ada, bob, connection = uuid4(), uuid4(), uuid4()
    await database.execute(
        "INSERT INTO profiles (id, profile_type) VALUES ($1, 'user'), ($2, 'user')", ada, bob
    )
    insert = "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2) RETURNING id"
    faces = [
        await database.fetchval(insert, profile, key)
        for profile, key in (
            *((ada, "faces/a/1.jpg"), (ada, "faces/a/1.png"), (bob, "faces/b/2.heic")),
            (bob, "https://old.host/f.jpg"),
        )
    ]
    match = await database.fetchval(
        "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
        " VALUES (least($1::uuid, $2), greatest($1::uuid, $2), 0.5) RETURNING id",
        faces[0], faces[2],
    )  # fmt: skip
    await database.execute(
        "INSERT INTO babies (match_id, image_url) VALUES ($1, 'babies/x.jpg'), ($1, 'https://fal/x.jpg')",
        match,
    )
    await database.execute(
        "INSERT INTO celebrities (name, image_path) VALUES ('A', 'celebrities/ab/ab.tiff')"
    )
    await database.execute(
        "INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id) VALUES ($1, $2, $3, $4)",
        connection, ada, bob, match,
    )  # fmt: skip
    for kind, content in (
        ("image", "faces/a/1.jpg"),
        ("image", "babies/x.jpg"),
        ("image", "https://old.host/f.jpg"),
        ("text", "faces/a/1.jpg"),
    ):
        await database.execute(
            "INSERT INTO messages (connection_id, sender_id, content, message_type) VALUES ($1, $2, $3, $4)",
            connection, ada, content, kind,
        )  # fmt: skip
    return ada


async def add_all(database: Database, storage: Storage) -> None:
    await add_rows(database)
    for key, file_format in KEYS.items():
        await storage.put(key, laden(portrait(300), file_format), "application/octet-stream")


CLEAN = sorted(map(full_key, KEYS))


async def assert_all_clean(database: Database, storage: Storage) -> None:
    others = ["https://fal/x.jpg", "https://old.host/f.jpg"]
    assert await named_keys(database) == sorted([*CLEAN, *others])
    assert await stored_keys(storage) == sorted(name for key in CLEAN for name in keys_of(key))
    for key in await stored_keys(storage):
        assert_only_a_picture(await storage.get(key))
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 0
    contents = await database.fetch("SELECT content FROM messages ORDER BY message_type, content")
    assert [row["content"] for row in contents] == [
        full_key("babies/x.jpg"),
        full_key("faces/a/1.jpg"),
        "https://old.host/f.jpg",
        "faces/a/1.jpg",
    ]


async def test_everything_is_cleaned_once(database: Database, storage: Storage, run: Clean) -> None:
    await add_all(database, storage)
    assert await run() == {"cleaned": 5}
    await assert_all_clean(database, storage)
    assert await run() == {}
    report = await sweep(
        database, storage, grace=timedelta(0), dry_run=True, force=False,
        on_progress=lambda *_: None, on_dangling=lambda _: None,
    )  # fmt: skip
    assert (report.orphans, report.dangling) == (0, 0)


@folder_alone
@pytest.mark.parametrize("step", ["put", "replaced", "delete"])
async def test_killed_at_any_step_the_next_run_completes_it(
    database: Database, storage: Storage, run: Clean, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await add_all(database, storage)
    calls = Counter[str]()

    class Killed(BaseException):
        pass

    async def dies(*_: object, **_options: object) -> None:
        calls[step] += 1
        raise Killed

    with monkeypatch.context() as patch:
        if step == "put":
            put = Storage.put

            async def some(self: Storage, key: str, data: bytes, kind: str) -> None:
                if calls["put"] >= 4:
                    raise Killed
                calls["put"] += 1
                await put(self, key, data, kind)

            patch.setattr(Storage, "put", some)
        elif step == "replaced":
            patch.setattr("ops.storage.clean.RawPictures.replace", dies)
        else:
            patch.setattr(Storage, "delete", dies)
        with pytest.raises(Killed):
            await run()
    assert calls[step]
    counts = await run()
    assert counts.keys() <= {"cleaned"}
    await database.execute("UPDATE object_deletions SET due_at = now()")
    await ObjectDeletions(database).drain(storage)
    await assert_all_clean(database, storage)


async def test_a_failing_store_stops_it(
    database: Database, storage: Storage, run: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise StorageError("The picture store failed: it is read-only.")

    await add_all(database, storage)
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", refuse)
        with pytest.raises(StorageError):
            await run()
    assert sorted(KEYS) == await stored_keys(storage)
    assert await run() == {"cleaned": 5}
    await assert_all_clean(database, storage)


@folder_alone
async def test_a_picture_that_cannot_be_cleaned_is_named_and_kept(
    database: Database, storage: Storage, run: Clean, results: list[Cleaned]
) -> None:
    await add_all(database, storage)
    await storage.put("faces/a/1.png", b"no picture", "image/png")
    await storage.delete("babies/x.jpg")
    assert await run() == {"cleaned": 3, "unreadable": 1, "missing": 1}
    left = {result.picture.key: result for result in results if result.outcome != "cleaned"}
    assert left.keys() == {"faces/a/1.png", "babies/x.jpg"}
    assert all(result.reason for result in left.values())
    assert await storage.get("faces/a/1.png") == b"no picture"
    assert await run() == {"unreadable": 1, "missing": 1}


@folder_alone
async def test_landmarks_follow_a_picture_that_shrinks(
    database: Database, storage: Storage, run: Clean
) -> None:
    await add_rows(database)
    await storage.put("faces/a/1.jpg", encoded(portrait(4096)), "image/jpeg")
    points = [[float(4 * number), 100.0] for number in range(68)]
    where = "image_path = 'faces/a/1.jpg'"
    await database.execute(f"UPDATE faces SET landmarks_68 = $1 WHERE {where}", points)
    await run()
    query = "SELECT landmarks_68 FROM faces WHERE image_path = 'faces/a/1.jpg.full.jpg'"
    found = np.array(await database.fetchval(query))
    assert np.abs(found - ((np.array(points) + 0.5) / 2 - 0.5)).max() < 0.02


@folder_alone
async def test_a_row_that_changes_meanwhile_is_left_alone(
    database: Database, dsn: str, storage: Storage, run: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker analyzes the face, or its user deletes it, while its picture is cleaned."""
    await add_all(database, storage)
    replace, changed = RawPictures.replace, False

    async def late(self: RawPictures, *args: Any, **options: Any) -> bool:
        nonlocal changed
        if not changed:
            changed = True
            with psycopg.connect(dsn) as connection:
                connection.execute("DELETE FROM faces WHERE image_path = 'faces/a/1.jpg'")
                points = "(SELECT jsonb_agg(jsonb_build_array(n, n)) FROM generate_series(1, 68) n)"
                connection.execute(
                    f"UPDATE faces SET landmarks_68 = {points} WHERE image_path = 'faces/b/2.heic'"
                )
        return await replace(self, *args, **options)

    monkeypatch.setattr(RawPictures, "replace", late)
    counts = await run()
    assert counts["changed"] == 2
    assert await storage.exists("faces/b/2.heic")
    assert (await run()).keys() <= {"cleaned", "missing"}
    assert "faces/b/2.heic.full.jpg" in await named_keys(database)


@folder_alone
async def test_rows_that_share_a_picture_are_all_cleaned(
    database: Database, storage: Storage, run: Clean
) -> None:
    await add_rows(database)
    await database.execute("DELETE FROM celebrities")
    await database.execute("DELETE FROM babies")
    key = "faces/a/1.jpg"
    await database.execute("UPDATE faces SET image_path = $1", key)
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', $1)", key)
    await database.execute("DELETE FROM object_deletions")
    await storage.put(key, laden(portrait(300), "JPEG"), "image/jpeg")
    assert await run() == {"cleaned": 5}
    assert await named_keys(database) == [full_key(key)] * 5
    assert await stored_keys(storage) == sorted(keys_of(full_key(key)))
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 0


def command(settings: Settings, dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {
        "SEMBLANCE_HOME": str(settings.home),
        "SEMBLANCE_STORAGE_URL": str(settings.storage_url),
        "SEMBLANCE_DATABASE_URL": dsn,
    }
    environment = {**os.environ, **variables, "NO_COLOR": "1", "COLUMNS": "100"}
    return semblance("storage", "clean", *arguments, environment=environment)


@folder_alone
async def test_the_command(database: Database, storage: Storage, settings: Settings, dsn: str) -> None:
    await add_all(database, storage)
    done = command(settings, dsn, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "5 pictures are stored as they came." in done.stdout
    assert sorted(KEYS) == await stored_keys(storage)
    assert SECRET in await storage.get("faces/a/1.jpg")
    await storage.delete("babies/x.jpg")
    done = command(settings, dsn)
    assert done.returncode == 1, done.stderr
    assert "missing babies" in done.stdout
    [record] = await database.fetch("SELECT actor, action, after FROM audit_log")
    assert record["actor"].startswith("command:")
    assert (record["action"], record["after"]) == ("pictures.clean", {"cleaned": 4, "missing": 1})
