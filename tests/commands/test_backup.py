"""`semblance backup` and `semblance restore`: the drill, from a service in use to an empty machine."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pyrage
import pytest
from psycopg.sql import SQL, Identifier
from pydantic import SecretStr

from db.celebrities import Celebrities
from db.migrate import MIGRATIONS, current, downgrade, upgrade
from db.pool import Database
from ops.backup.archive import MANIFEST, MOST_SMALL, NAMES, SETTINGS, Archive
from ops.backup.archive import PICTURES as PICTURE_LIST
from ops.backup.database import Loader, snapshot
from ops.backup.pictures import PicturePool
from ops.backup.restore import RESTORED_SETTINGS
from ops.commands.backup.running import run_backup, run_restore
from ops.stack.home import StackHome
from ops.stack.preflight import check_restored
from semblance.errors import BadInputError, ConfigurationError, SemblanceError, StorageError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from tests.support.rows import gallery
from tests.support.rows_scored import add_faces
from tests.support.waiting import PATIENCE_S

PICTURES = {f"faces/{number}/photo.jpg": bytes([number]) * 5000 for number in range(40)}


@pytest.fixture
async def source(dsn: str, tmp_path: Path) -> Settings:
    """A service with rows in most tables, pictures and keys."""
    settings = Settings(home=tmp_path / "source", database_url=SecretStr(dsn))
    database = await Database.connect(dsn, pool_size=1)
    await add_faces(database, 20)
    await Celebrities(database).copy_in(gallery(30))
    await database.close()
    home = StackHome.of(settings)
    home.prepare()
    home.api_key()
    home.jwt_secret()
    await _put(open_storage(settings), PICTURES)
    return settings


@pytest.fixture
def target(fresh_dsn: str, tmp_path: Path) -> Settings:
    """An empty home and a database without rows."""
    return Settings(home=tmp_path / "target", database_url=SecretStr(fresh_dsn))


async def _put(storage: Storage, pictures: dict[str, bytes]) -> None:
    for key, data in pictures.items():
        await storage.put(key, data, "image/jpeg")


def back_up(settings: Settings, folder: Path, **options: Any) -> str:
    """Returns the name of the new backup."""
    before = set(Archive(folder).names())
    run_backup(settings, folder, options.get("recipients", []), options.get("keep"))
    [new] = set(Archive(folder).names()) - before
    return new


def rows(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables but the audit log, and the sequences, as text."""
    assert settings.database_url is not None
    dsn = settings.database_url.get_secret_value()
    with snapshot(dsn) as found:
        tables, sequences = found.tables(), found.sequences()
    with psycopg.connect(dsn) as connection:
        content = {
            table.name: connection.execute(
                SQL("SELECT t::text FROM {} AS t ORDER BY 1").format(Identifier(table.name))
            ).fetchall()
            for table in tables
            # To bring the schema up to date is a change of its own.
            if table.name != "audit_log"
        }
    return content | {"sequences": sorted(sequences.items())}


async def pictures(settings: Settings) -> dict[str, bytes]:
    storage = open_storage(settings)
    return {key: await storage.get(key) for key in await storage.keys("faces")}


def keys(settings: Settings) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in StackHome.of(settings).keys.iterdir()}


@contextmanager
def writing(dsn: str) -> Iterator[None]:
    """Profiles come with a face and its match job, in one transaction, until the context ends."""
    ended, begun = Event(), Event()

    def write() -> None:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while not ended.is_set():
                with connection.transaction():
                    connection.execute(
                        """
                        WITH profile AS (
                            INSERT INTO profiles (id, profile_type)
                            VALUES (gen_random_uuid(), 'user')
                            RETURNING id
                        )
                        INSERT INTO faces (profile_id, image_path)
                        SELECT id, 'faces/' || id || '.jpg' FROM profile
                        """
                    )
                begun.set()

    writer = Thread(target=write)
    writer.start()
    try:
        assert begun.wait(PATIENCE_S)
        yield
    finally:
        ended.set()
        writer.join()


async def test_the_drill(
    source: Settings,
    target: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Sealed, as it should be; the other tests do without."""
    folder, identity = tmp_path / "backups", tmp_path / "identity"
    monkeypatch.setenv("SEMBLANCE_HOME", str(source.home))
    monkeypatch.setenv("SEMBLANCE_DATABASE_URL", "postgresql://old/semblance")
    monkeypatch.setenv("SEMBLANCE_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("SEMBLANCE_URL", "http://127.0.0.1:1")  # set by `semblance env`, not a setting
    key = pyrage.x25519.Identity.generate()
    identity.write_text(f"# created: today\n{key}\n")
    await asyncio.to_thread(back_up, source, folder, recipients=[str(key.to_public())])
    before = rows(source)
    secret = next(iter(keys(source).values()))
    assert not any(secret in file.read_bytes() for file in folder.rglob("*") if file.is_file())
    with pytest.raises(BadInputError, match="--identity"):
        await asyncio.to_thread(run_restore, target, folder, None, None)
    capsys.readouterr()
    await asyncio.to_thread(run_restore, target, folder, None, identity)
    assert f"Next: SEMBLANCE_HOME={target.home} semblance up" in capsys.readouterr().out
    assert rows(target) == before
    assert await pictures(target) == PICTURES
    assert keys(target) == keys(source)
    restored = (target.home / RESTORED_SETTINGS).read_text().splitlines()
    assert "SEMBLANCE_LOG_LEVEL=DEBUG" in restored
    left_out = ("SEMBLANCE_HOME", "SEMBLANCE_DATABASE_URL", "SEMBLANCE_URL")
    assert not [line for line in restored if line.startswith(left_out)]
    with pytest.raises(ConfigurationError, match="not empty"):
        await asyncio.to_thread(run_restore, target, folder, None, identity)


async def test_under_writes_a_backup_is_of_one_moment(
    source: Settings, target: Settings, dsn: str, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    with writing(dsn):
        await asyncio.to_thread(back_up, source, folder)
    await asyncio.to_thread(run_restore, target, folder, None, None)
    restored, now = rows(target), rows(source)
    assert 20 < len(restored["faces"]) <= len(now["faces"])
    assert set(restored["faces"]) <= set(now["faces"])
    assert len(restored["faces"]) - len(restored["profiles"]) == len(now["faces"]) - len(now["profiles"])
    assert len(restored["match_jobs"]) == len(restored["faces"])


async def test_pictures_are_copied_once_and_go_with_the_last_backup_that_has_them(
    source: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "backups"
    first = await asyncio.to_thread(back_up, source, folder)
    storage = open_storage(source)
    gone, *_ = PICTURES
    await storage.delete(gone)
    await storage.put("faces/new.jpg", b"new", "image/jpeg")
    # A second is what tells the names of two backups.
    (folder / first).rename(folder / "2026-01-01T000000Z")
    one, *_ = folder.glob("pictures/??/*.sha256")
    one.with_name(f".{one.name}.ab12_3cd").touch()  # A backup was killed while it wrote this file.
    capsys.readouterr()
    second = await asyncio.to_thread(back_up, source, folder, keep=1)
    assert "40 pictures, 1 of them new" in " ".join(capsys.readouterr().out.split())
    assert Archive(folder).names() == [second]
    named = set((folder / second / NAMES).read_text().split())
    assert {file.name.partition(".")[0] for file in folder.glob("pictures/*/*")} == named
    assert len(named) == 40


async def test_pictures_are_sealed_for_whom_the_rest_is_sealed(
    source: Settings, target: Settings, tmp_path: Path
) -> None:
    folder, identity = tmp_path / "backups", tmp_path / "identity"
    old, new = (pyrage.x25519.Identity.generate() for _ in range(2))
    await asyncio.to_thread(back_up, source, folder, recipients=[str(old.to_public())])
    await asyncio.to_thread(back_up, source, folder, recipients=[str(new.to_public())])
    identity.write_text(f"{new}\n")
    await asyncio.to_thread(run_restore, target, folder, None, identity)
    assert await pictures(target) == PICTURES


async def test_a_migration_may_come_while_pictures_are_copied(
    source: Settings, target: Settings, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    await asyncio.to_thread(downgrade, dsn, MIGRATIONS[-2].revision)
    copy_all = PicturePool.copy_all

    async def migrated(self: PicturePool, *rest: Any) -> int:
        await asyncio.to_thread(upgrade, dsn)
        return await copy_all(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(PicturePool, "copy_all", migrated)
        name = await asyncio.to_thread(back_up, source, folder)
    assert Archive(folder).manifest(name).revision == MIGRATIONS[-1].revision


async def test_an_interrupted_restoration_is_completed_by_the_same_command(
    source: Settings, target: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    name = await asyncio.to_thread(back_up, source, folder)

    def broken(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    parts: list[tuple[type, str]] = [(Loader, "set_sequence"), (PicturePool, "restore")]
    for owner, method in parts:
        with monkeypatch.context() as patch, pytest.raises(SemblanceError, match="disk is full"):
            patch.setattr(owner, method, broken)
            await asyncio.to_thread(run_restore, target, folder, None, None)
    with pytest.raises(BadInputError, match="no backup"):
        await asyncio.to_thread(run_restore, target, folder, "2026-01-01T000000Z", None)
    await asyncio.to_thread(run_restore, target, folder, name, None)
    assert rows(target) == rows(source)
    assert await pictures(target) == PICTURES


async def test_an_older_backup_is_restored_with_this_version(
    source: Settings, target: Settings, dsn: str, tmp_path: Path
) -> None:
    await asyncio.to_thread(downgrade, dsn, MIGRATIONS[-2].revision)
    folder = tmp_path / "backups"
    await asyncio.to_thread(back_up, source, folder)
    await asyncio.to_thread(run_restore, target, folder, None, None)
    assert target.database_url is not None
    assert current(target.database_url.get_secret_value()) == MIGRATIONS[-1].revision
    assert len(rows(target)["celebrities"]) == 30


async def test_a_damaged_or_unfinished_backup_is_refused(
    source: Settings, target: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    with pytest.raises(BadInputError, match="no complete backup"):
        run_restore(target, folder, None, None)
    name = await asyncio.to_thread(back_up, source, folder)
    file = folder / name / "database" / "faces.gz"
    content = file.read_bytes()
    file.write_bytes(content[:-10] + bytes(10))
    with pytest.raises(BadInputError, match=r"faces\.gz is missing or damaged"):
        await asyncio.to_thread(run_restore, target, folder, None, None)
    file.write_bytes(content)
    (folder / name / MANIFEST).unlink()
    with pytest.raises(BadInputError, match="no complete backup"):
        run_restore(target, folder, None, None)
    with pytest.raises(BadInputError, match="age-keygen"):
        run_backup(source, folder, ["age1nonsense"], None)


@pytest.mark.parametrize("name", ["../../stolen", "/tmp/stolen", "..", "", "a\0b"])
@pytest.mark.parametrize("place", ["keys", "tables", "pictures"])
async def test_a_backup_does_not_lead_out_of_its_folder(
    source: Settings, target: Settings, tmp_path: Path, place: str, name: str
) -> None:
    folder = tmp_path / "backups"
    backup = folder / await asyncio.to_thread(back_up, source, folder)
    manifest = json.loads((backup / MANIFEST).read_text())
    if place == "keys":
        manifest["keys"].append(name)
    elif place == "tables":
        manifest["tables"][name] = manifest["tables"]["faces"]
    else:
        lines = gzip.compress(json.dumps(["faces/0/photo.jpg", name, "0" * 64]).encode())
        (backup / PICTURE_LIST).write_bytes(lines)
        manifest["pictures_sha256"] = hashlib.sha256(lines).hexdigest()
    (backup / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match="damaged"):
        await asyncio.to_thread(run_restore, target, folder, None, None)
    assert not any(file.is_file() for file in StackHome.of(target).keys.rglob("*"))


async def test_what_else_is_in_the_folder_stays(source: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    others = [
        folder / "projects" / "thesis.tex",
        folder / "site" / MANIFEST,
        folder / "2026-13-01T000000Z" / MANIFEST,
        folder / "pictures" / "me" / "holiday.jpg",
        tmp_path / "elsewhere" / "file",
    ]
    for file in others:
        file.parent.mkdir(parents=True)
        file.write_text("mine")
    (folder / "2026-01-01T000000Z").symlink_to(tmp_path / "elsewhere")
    unfinished = folder / "2026-01-02T000000Z"
    (unfinished / "database").mkdir(parents=True)
    name = await asyncio.to_thread(back_up, source, folder, keep=1)
    assert Archive(folder).names() == [name]
    assert [file.read_text() for file in others] == ["mine"] * len(others)
    assert not unfinished.exists()


async def test_one_backup_at_a_time(source: Settings, target: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    with Archive(folder).held(), Archive(folder).begin() as begun:
        with pytest.raises(ConfigurationError, match="Another backup"):
            await asyncio.to_thread(run_backup, source, folder, [], 1)
        assert begun.exists()
    await asyncio.to_thread(back_up, source, folder)
    (folder / "lock").unlink()
    (folder / "lock").symlink_to(precious := tmp_path / "precious")
    precious.write_text("mine")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        await asyncio.to_thread(run_backup, source, folder, [], 1)
    assert precious.read_text() == "mine"


async def test_the_newest_backup_stays_although_the_clock_was_ahead(source: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    name = await asyncio.to_thread(back_up, source, folder)
    ahead = "2999-12-31T235959Z"
    (folder / name).rename(folder / ahead)
    new = await asyncio.to_thread(back_up, source, folder, keep=1)
    assert Archive(folder).names() == [new] == ["3000-01-01T000000Z"]


async def test_an_identity_opens_no_backup_that_is_not_sealed(
    source: Settings, target: Settings, tmp_path: Path
) -> None:
    folder, identity = tmp_path / "backups", tmp_path / "identity"
    await asyncio.to_thread(back_up, source, folder)
    identity.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    with pytest.raises(BadInputError, match="not sealed"):
        await asyncio.to_thread(run_restore, target, folder, None, identity)
    assert not rows(target)["profiles"]
    identity.write_text("# nothing\n")
    with pytest.raises(BadInputError, match="no identity"):
        await asyncio.to_thread(run_restore, target, folder, None, identity)


@pytest.mark.parametrize("kind", ["pipe", "endless"])
@pytest.mark.parametrize(
    "place", [MANIFEST, "database/faces.gz", PICTURE_LIST, "keys/api_key", SETTINGS, "pool"]
)
async def test_a_file_that_is_none_is_refused(
    source: Settings, target: Settings, tmp_path: Path, place: str, kind: str
) -> None:
    folder = tmp_path / "backups"
    backup = folder / await asyncio.to_thread(back_up, source, folder)
    file = (
        backup / place
        if place != "pool"
        else max(folder.glob("pictures/??/*"), key=lambda f: f.stat().st_size)
    )
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero")
    with pytest.raises(SemblanceError, match=r"missing or damaged|cannot be read|not complete"):
        await asyncio.to_thread(run_restore, target, folder, None, None)


@pytest.mark.parametrize("place", [MANIFEST, "keys/api_key"])
async def test_a_file_without_end_is_not_read_into_memory(
    source: Settings, target: Settings, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "backups"
    backup = folder / await asyncio.to_thread(back_up, source, folder)
    os.truncate(backup / place, MOST_SMALL + 1)
    with pytest.raises(BadInputError, match="more than"):
        await asyncio.to_thread(run_restore, target, folder, None, None)


@pytest.mark.parametrize("more", ["line", "lines", "rows", "fewer"])
async def test_a_list_that_does_not_end_is_refused(
    source: Settings, target: Settings, tmp_path: Path, more: str
) -> None:
    folder = tmp_path / "backups"
    backup = folder / await asyncio.to_thread(back_up, source, folder)
    manifest = json.loads((backup / MANIFEST).read_text())
    place = "database/faces.gz" if more == "rows" else PICTURE_LIST
    content = gzip.decompress((backup / place).read_bytes())
    content = {
        "line": content + b" " * 200_000,
        "lines": content * 2,
        "rows": content.partition(b"\n")[2],
        "fewer": content.partition(b"\n")[2],
    }[more]
    packed = gzip.compress(content)
    (backup / place).write_bytes(packed)
    digest = hashlib.sha256(packed).hexdigest()
    if more == "rows":
        manifest["tables"]["faces"]["sha256"] = digest
    else:
        manifest["pictures_sha256"] = digest
    (backup / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadInputError, match=r"damaged|rows"):
        await asyncio.to_thread(run_restore, target, folder, None, None)
    assert not rows(target)["profiles"]


@pytest.mark.parametrize("sealed", [True, False])
async def test_a_full_disk_is_said_in_a_sentence(
    source: Settings, target: Settings, tmp_path: Path, sealed: bool
) -> None:
    folder, identity = tmp_path / "backups", tmp_path / "identity"
    key = pyrage.x25519.Identity.generate()
    identity.write_text(f"{key}\n")
    recipients = [str(key.to_public())] if sealed else []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As full as a disk can be for a test: no file gets longer than this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        with pytest.raises(StorageError):
            await asyncio.to_thread(run_backup, source, folder, recipients, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # What was written needs space that the next backup may lack.
    assert sorted(file.name for file in folder.iterdir()) == ["lock", "pictures"]
    await asyncio.to_thread(back_up, source, folder, recipients=recipients)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        with pytest.raises(StorageError):
            await asyncio.to_thread(run_restore, target, folder, None, identity if sealed else None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await asyncio.to_thread(run_restore, target, folder, None, identity if sealed else None)
    assert await pictures(target) == PICTURES


async def test_a_full_picture_store_is_said_once_and_the_restoration_completed_later(
    source: Settings, target: Settings, tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "backups"
    await asyncio.to_thread(back_up, source, folder)
    target = target.model_copy(update={"storage_url": f"file://{small_disk}/pictures"})
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(480 * 1024))

    def refusal() -> str:
        try:
            run_restore(target, folder, None, None)
        except StorageError as exc:
            return exc.message
        return ""

    assert "No space left on device" in await asyncio.to_thread(refusal)
    # With the error its tasks are gone. asyncio then reports those that nobody has asked how they ended.
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]
    ballast.unlink()
    await asyncio.to_thread(run_restore, target, folder, None, None)
    assert await pictures(target) == PICTURES


async def test_no_stack_or_backup_starts_before_a_restoration_is_complete(
    source: Settings, target: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    await asyncio.to_thread(back_up, source, folder)

    def broken(*_: object, **__: object) -> None:
        raise StorageError("The disk is full.")

    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(PicturePool, "restore", broken)
        await asyncio.to_thread(run_restore, target, folder, None, None)
    [finding] = check_restored(target)
    assert finding.level == "fail"
    with pytest.raises(ConfigurationError, match="not complete"):
        await asyncio.to_thread(run_backup, target, tmp_path / "others", [], 1)
    await asyncio.to_thread(run_restore, target, folder, None, None)
    assert not list(check_restored(target))


@pytest.mark.parametrize("cut", [5, 20, None])
async def test_a_backup_whose_settings_end_early_is_refused(
    source: Settings, target: Settings, tmp_path: Path, cut: int | None
) -> None:
    folder = tmp_path / "backups"
    file = folder / await asyncio.to_thread(back_up, source, folder) / SETTINGS
    packed = gzip.compress(b"SEMBLANCE_PORT=8000\n" * 99)
    file.unlink() if cut is None else file.write_bytes(packed[:cut])
    with pytest.raises(BadInputError, match="missing or damaged"):
        await asyncio.to_thread(run_restore, target, folder, None, None)
