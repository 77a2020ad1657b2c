"""Pictures and rows left by a crash are found and removed, in a folder and on an S3 server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from db.pool import Database
from db.stored_pictures import PictureRow, compare_pictures
from ops.storage import sweep as module
from ops.storage.sweep import SweepReport, sweep
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import keys_of
from semblance.storage.store import Storage
from tests.support.api import Api
from tests.support.commands import semblance
from tests.support.rows_faces import photo, row_counts, upload, uploaded

NONE = timedelta(0)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return (tmp_path / "pictures").as_uri()
    name: str = request.getfixturevalue("bucket")
    return f"{name}/pictures"


@pytest.fixture
def api_settings(api_settings: Settings, url: str) -> Settings:
    return api_settings.model_copy(update={"storage_url": url})


@pytest.fixture
def storage(url: str, tmp_path: Path) -> Storage:
    return open_storage(Settings(home=tmp_path / "home", storage_url=url))


Sweep = Callable[..., Awaitable[SweepReport]]


@pytest.fixture
def missing() -> list[PictureRow]:
    """Rows that were reported."""
    return []


@pytest.fixture
def run(database: Database, storage: Storage, missing: list[PictureRow]) -> Sweep:
    async def swept(grace: timedelta = NONE, *, dry_run: bool = False, force: bool = False) -> SweepReport:
        return await sweep(
            database,
            storage,
            grace=grace,
            dry_run=dry_run,
            force=force,
            on_progress=lambda _what, _number: None,
            on_dangling=missing.append,
        )

    return swept


async def add_profile(database: Database) -> object:
    profile = uuid4()
    await database.execute("INSERT INTO profiles (id, profile_type) VALUES ($1, 'user')", profile)
    return profile


async def add_rows(database: Database) -> dict[str, str]:
    """One row of each kind with a picture of ours, and the keys, and some rows of other hosts."""
    profile = await add_profile(database)
    keys = {"faces": "faces/p/f.jpg", "babies": "babies/b.png", "celebrities": "celebrities/ab/abc.jpg"}
    insert = "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2) RETURNING id"
    face, other = [
        await database.fetchval(insert, profile, path) for path in (keys["faces"], "https://old.host/f.jpg")
    ]
    match = await database.fetchval(
        "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
        " VALUES (least($1::uuid, $2), greatest($1::uuid, $2), 0.5) RETURNING id",
        face, other,
    )  # fmt: skip
    for address in (keys["babies"], "https://fal.media/baby.png"):
        await database.execute("INSERT INTO babies (match_id, image_url) VALUES ($1, $2)", match, address)
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', $1)", keys["celebrities"])
    return keys


async def stored(storage: Storage) -> list[str]:
    folders = ("faces", "babies", "celebrities", "other")
    return [key for folder in folders for key in await storage.keys(folder)]


async def test_only_pictures_without_a_row_are_removed(
    database: Database, storage: Storage, run: Sweep, missing: list[PictureRow]
) -> None:
    named = list((await add_rows(database)).values())
    orphans = ["faces/p/orphan.jpg", "babies/orphan.png", "celebrities/ab/orphan.jpg"]
    for key in (*named, *orphans, "other/kept.jpg"):
        await storage.put(key, b"1234567", "image/jpeg")
    rows = await row_counts(database)

    everything = SweepReport(objects=6, objects_size=42, orphans=3, orphans_size=21, dangling=0)
    assert await run(dry_run=True) == everything
    assert len(await stored(storage)) == 7
    assert await run() == everything
    assert await stored(storage) == [*named, "other/kept.jpg"]
    assert await run() == SweepReport(objects=3, objects_size=21)
    assert await row_counts(database) == rows
    assert missing == []


async def test_rows_without_a_picture_are_reported_and_stay(
    database: Database, storage: Storage, run: Sweep, missing: list[PictureRow]
) -> None:
    keys = await add_rows(database)
    # As left by a faulty import: no picture can have this name.
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('B', 'no key/../at all')")
    await storage.put(keys["faces"], b"1", "image/jpeg")
    rows = await row_counts(database)
    assert await run() == SweepReport(objects=1, objects_size=1, dangling=3)
    found = {(row.table, row.key) for row in missing}
    assert found == {
        ("babies", keys["babies"]), ("celebrities", keys["celebrities"]), ("celebrities", "no key/../at all"),
    }  # fmt: skip
    assert await row_counts(database) == rows


async def test_a_picture_outside_the_folders_is_not_missing(
    database: Database, storage: Storage, run: Sweep
) -> None:
    """Paths of the old app are in other folders."""
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', 'archive/a.jpg')")
    await storage.put("archive/a.jpg", b"1", "image/jpeg")
    assert await run() == SweepReport()


async def test_the_grace_period_spares_uploads_in_progress(
    database: Database, storage: Storage, run: Sweep
) -> None:
    await storage.put("faces/p/new.jpg", b"1", "image/jpeg")
    assert (await run(HOUR, force=True)).orphans == 0
    assert await storage.exists("faces/p/new.jpg")
    assert (await run(force=True)).orphans == 1
    assert not await storage.exists("faces/p/new.jpg")


async def test_a_database_without_any_of_the_pictures_is_refused(
    database: Database, storage: Storage, run: Sweep
) -> None:
    await storage.put("faces/p/orphan.jpg", b"1", "image/jpeg")
    await database.execute("INSERT INTO celebrities (name, image_path) VALUES ('A', 'celebrities/a.jpg')")
    with pytest.raises(ConfigurationError, match="--force"):
        await run()
    assert await storage.exists("faces/p/orphan.jpg")


async def test_batches_hold_more_than_one(
    database: Database,
    storage: Storage,
    run: Sweep,
    missing: list[PictureRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cursors and listings go on after their first batch."""
    monkeypatch.setattr("db.stored_pictures._BATCH", 3)
    monkeypatch.setattr("semblance.storage.store._LISTED_AT_ONCE", 2)
    profile = await add_profile(database)
    for number in range(10):
        await storage.put(f"faces/p/{number}.jpg", b"1", "image/jpeg")
        await database.execute(
            "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2)", profile, f"faces/p/{number + 8}.jpg"
        )
    assert await run() == SweepReport(objects=10, objects_size=10, orphans=8, orphans_size=8, dangling=8)
    assert sorted(row.key for row in missing) == sorted(f"faces/p/{number}.jpg" for number in range(10, 18))


async def test_changes_during_the_sweep_are_checked_again(database: Database, storage: Storage) -> None:
    keys = await add_rows(database)
    for key in (*keys.values(), "celebrities/again.jpg", "faces/gone.jpg"):
        await storage.put(key, b"1", "image/jpeg")
    async with compare_pictures(database) as comparison:
        for folder in module.FOLDERS:
            async for found in storage.objects(folder):
                await comparison.add(found)
        # An upload ends and a deletion begins after the listing: neither is a row without a picture.
        await storage.put("faces/late.jpg", b"1", "image/jpeg")
        insert = "INSERT INTO celebrities (name, image_path) VALUES ('A', $1) RETURNING id"
        await database.execute(insert, "faces/late.jpg")
        deleted = PictureRow("celebrities", await database.fetchval(insert, "celebrities/x.jpg"), "x")
        reported: list[PictureRow] = []
        assert await module._find_dangling(storage, comparison, lambda *_: None, reported.append) == 1, (
            reported
        )
        await database.execute("DELETE FROM celebrities WHERE id = $1", deleted.id)
        assert await comparison.still_there([deleted]) == []

        # An ingestion repeated meanwhile stores the same key again: its row is about to come.
        deadline = datetime.now(UTC) - timedelta(seconds=5)
        await storage.put("celebrities/again.jpg", b"2", "image/jpeg")
        await storage.delete("faces/gone.jpg")
        orphans = [found async for batch in comparison.orphans(deadline + HOUR) for found in batch]
        assert {orphan.key for orphan in orphans} == {"celebrities/again.jpg", "faces/gone.jpg"}
        assert await module._remove(storage, orphans, deadline) == []
    assert await storage.exists("celebrities/again.jpg")


async def test_an_upload_that_dies_before_its_row_leaves_an_orphan(
    api: Api, run: Sweep, storage: Storage, dsn: str
) -> None:
    """The database ends the connection between picture and row, as a crash of either side would."""
    user = await api.member("ada")
    kept = await uploaded(api, user)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        connection.execute("CREATE TRIGGER die BEFORE INSERT ON faces FOR EACH ROW EXECUTE FUNCTION die()")
        answer = await upload(api, user, photo(1))
        assert answer.status_code == 503
        connection.execute("DROP TRIGGER die ON faces")
    (kept_key,) = [
        row["image_path"] for row in await api.services.database.fetch("SELECT image_path FROM faces")
    ]
    assert kept_key == f"faces/{user.id}/{kept}.full.jpg"
    assert await api.services.database.fetchval("SELECT count FROM user_daily_quotas") == 1
    # The API cannot know whether the row exists, so the picture stays until the sweep.
    assert len(await storage.keys("faces")) == 2 * 3
    report = await run()
    assert (report.orphans, report.dangling) == (3, 0)
    assert await storage.keys("faces") == sorted(keys_of(kept_key))
    assert (await upload(api, user, photo(1))).status_code == 202


def command(url: str, home: Path, dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"SEMBLANCE_HOME": str(home), "SEMBLANCE_STORAGE_URL": url, "SEMBLANCE_DATABASE_URL": dsn}
    environment = {**os.environ, **settings, "NO_COLOR": "1", "COLUMNS": "100"}
    return semblance("storage", "sweep", *arguments, environment=environment)


async def test_the_command(database: Database, storage: Storage, url: str, tmp_path: Path, dsn: str) -> None:
    keys = await add_rows(database)
    for key in (*keys.values(), "faces/p/orphan.jpg"):
        await storage.put(key, b"1" * 1000, "image/jpeg")
    home = tmp_path / "home"
    done = command(url, home, dsn)
    assert done.returncode == 0, done.stderr
    assert await storage.exists("faces/p/orphan.jpg")
    done = command(url, home, dsn, "--grace", "0s", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert await storage.exists("faces/p/orphan.jpg")
    done = command(url, home, dsn, "--grace", "0s")
    assert done.returncode == 0, done.stderr
    assert not await storage.exists("faces/p/orphan.jpg")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["│", "stored", "│", "4", "│", "4.0", "kB", "│"] in rows
    assert ["│", "without", "a", "row,", "removed", "│", "1", "│", "1.0", "kB", "│"] in rows
    await storage.delete(keys["babies"])
    done = command(url, home, dsn)
    assert done.returncode == 1
    assert "missing babies" in done.stdout
    assert keys["babies"] in done.stdout
    assert command(url, home, dsn, "--grace", "soon").returncode == 2
