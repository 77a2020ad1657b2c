"""Pictures are returned complete, from a folder and from a bucket, and only by a signed URL."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from semblance.errors import BadInputError, ConfigurationError, NotFoundError, StorageError
from semblance.settings import Settings
from semblance.storage.opening import local_path, open_storage
from semblance.storage.store import Storage
from tests.support.waiting import PATIENCE_S

KEY = "celebrities/ab/abcdef.jpg"
HOUR = timedelta(hours=1)


async def test_a_picture_is_stored_listed_read_and_deleted(storage: Storage) -> None:
    assert not await storage.exists(KEY)
    await storage.put(KEY, b"one", "image/jpeg")
    await storage.put(KEY, b"two", "image/jpeg")
    await storage.put("faces/x.png", b"other", "image/png")
    assert await storage.exists(KEY)
    assert await storage.get(KEY) == b"two"
    assert await storage.keys("celebrities") == [KEY]
    await storage.delete(KEY)
    await storage.delete(KEY)
    assert not await storage.exists(KEY)
    with pytest.raises(NotFoundError, match="no picture celebrities/ab"):
        await storage.get(KEY)


async def test_a_listing_says_size_and_time(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semblance.storage.store._LISTED_AT_ONCE", 2)
    for number in range(5):
        await storage.put(f"faces/{number}.jpg", b"1" * number, "image/jpeg")
    await storage.put("facesx/other.jpg", b"", "image/jpeg")
    chunks = [chunk async for chunk in storage.objects("faces")]
    assert max(map(len, chunks)) <= 2
    found = {picture.key: picture for chunk in chunks for picture in chunk}
    assert {key: picture.size for key, picture in found.items()} == {f"faces/{n}.jpg": n for n in range(5)}
    now = datetime.now(UTC)
    assert all(abs(now - picture.last_modified) < HOUR for picture in found.values())
    one = await storage.find("faces/3.jpg")
    assert one is not None
    assert (one.key, one.size) == ("faces/3.jpg", 3)
    assert abs(one.last_modified - found["faces/3.jpg"].last_modified) < timedelta(seconds=1)
    assert await storage.find("faces/none.jpg") is None
    assert [chunk async for chunk in storage.objects("nothing")] == []


async def test_foreign_files_are_not_listed(local: Storage, tmp_path: Path) -> None:
    await local.put("faces/1.jpg", b"1", "image/jpeg")
    (tmp_path / "objects" / "faces" / "a holiday photo.jpg").write_bytes(b"1")
    assert [[picture.key for picture in chunk] async for chunk in local.objects("faces")] == [["faces/1.jpg"]]


def test_the_blocking_twins_do_the_same(storage: Storage) -> None:
    with pytest.raises(NotFoundError):
        storage.get_sync(KEY)
    storage.put_sync(KEY, b"one", "image/jpeg")
    assert storage.get_sync(KEY) == b"one"


@pytest.mark.parametrize(
    "key",
    [
        *("", "/etc/passwd", "../up", "a/../b", "a/..", ".hidden", "a//b", "a/", "a\\b", "a\nb", "a\0b"),
        *("é", "a b", "a?b", "a%2e", "a" * 513),
    ],
)
async def test_a_key_that_could_leave_the_store_is_refused(local: Storage, key: str) -> None:
    with pytest.raises(BadInputError):
        await local.put(key, b"", "image/jpeg")
    with pytest.raises(BadInputError):
        local.get_sync(key)
    with pytest.raises(BadInputError):
        local.signed_url(key, HOUR)
    assert not local.verify(key, 2**40, "0" * 64)


async def test_a_reader_never_sees_part_of_a_picture(local: Storage) -> None:
    pictures = [bytes([value]) * 4_000_000 for value in (1, 2)]
    local.put_sync(KEY, pictures[0], "image/jpeg")
    done = threading.Event()

    def write() -> None:
        for turn in range(40):
            local.put_sync(KEY, pictures[turn % 2], "image/jpeg")
        done.set()

    writer = asyncio.create_task(asyncio.to_thread(write))
    reads = 0
    while not done.is_set():
        assert await local.get(KEY) in pictures
        reads += 1
    await writer
    assert reads > 1


def signed(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return parts.path.removeprefix("/objects/"), int(query["expires"][0]), query["signature"][0]


def test_a_local_url_opens_one_picture_for_a_time(local: Storage, tmp_path: Path) -> None:
    key, expires, signature = signed(local.signed_url(KEY, HOUR))
    assert key == KEY
    assert local.verify(key, expires, signature)
    assert open_storage(Settings(home=tmp_path)).verify(key, expires, signature)
    assert not local.verify("celebrities/ab/other.jpg", expires, signature)
    assert not local.verify(key, expires + 1, signature)
    assert not local.verify(key, expires, signature[:-1])
    assert not local.verify(key, expires, "é\ud800")
    assert not local.verify(*signed(local.signed_url(KEY, -HOUR)))


def test_a_signature_of_another_home_is_refused(local: Storage, tmp_path: Path) -> None:
    other = open_storage(Settings(home=tmp_path / "other"))
    assert not local.verify(*signed(other.signed_url(KEY, HOUR)))


def test_a_bucket_serves_its_own_pictures(remote: Storage) -> None:
    remote.put_sync(KEY, b"picture", "image/webp")
    answer = httpx.get(remote.signed_url(KEY, HOUR))
    assert (answer.status_code, answer.content) == (200, b"picture")
    assert answer.headers["content-type"] == "image/webp"
    assert not remote.verify(KEY, 2**40, "0" * 64)


RACE = """
import multiprocessing, sys
from pathlib import Path
from semblance.settings import Settings
from semblance.storage.opening import open_storage

context = multiprocessing.get_context("fork")
barrier = context.Barrier(4)

def open_and_sign(key):
    barrier.wait()
    return open_storage(Settings(home=Path(sys.argv[1])))._signature(key, 1)

with context.Pool(4) as pool:
    print(*pool.map(open_and_sign, sys.argv[2:] * 4, chunksize=1))
"""
"""Forks, because to start each process with all imports takes longer than the race."""


def test_processes_that_race_for_the_signing_key_agree(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RACE, tmp_path, KEY],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    signatures = done.stdout.split()
    assert (len(signatures), len(set(signatures))) == (4, 1)
    (key,) = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_damaged_signing_key_is_named(tmp_path: Path) -> None:
    open_storage(Settings(home=tmp_path))
    (key,) = (tmp_path / "keys").iterdir()
    key.write_bytes(b"short")
    with pytest.raises(StorageError, match="delete it"):
        open_storage(Settings(home=tmp_path))


def test_a_folder_by_url(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    storage = open_storage(Settings(home=tmp_path, storage_url=folder.as_uri()))
    storage.put_sync(KEY, b"x", "image/jpeg")
    assert (folder / KEY).read_bytes() == b"x"
    assert local_path(folder.as_uri()) == folder


@pytest.mark.parametrize("url", ["s3://", "ftp://host/x", "objects", "file://host/x", "https://host/x"])
def test_a_storage_url_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError):
        open_storage(Settings(home=tmp_path, storage_url=url))


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/objects"):
        open_storage(Settings(home=tmp_path / "file"))


async def test_a_bucket_that_refuses_is_a_storage_error(tmp_path: Path, bucket: str) -> None:
    missing = open_storage(Settings(home=tmp_path, storage_url="s3://no-such-bucket-here"))
    with pytest.raises(StorageError) as caught:
        missing.put_sync(KEY, b"", "image/jpeg")
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError):
        await missing.keys("celebrities")
