"""The keys of a picture's files, and links that stay the same for half of their life."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from semblance.errors import StorageError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import (
    StoredPicture,
    full_key,
    keys_of,
    picture_of,
    put_picture,
    put_picture_sync,
    rendition_key,
    signed_picture,
)
from semblance.storage.store import Storage

KEY = full_key("faces/a/b")
DAY = timedelta(days=1)
HALF = 12 * 3600


def test_keys_are_derived_from_each_other() -> None:
    assert KEY == "faces/a/b.full.jpg"
    assert keys_of(KEY) == ["faces/a/b.feed.jpg", "faces/a/b.thumbnail.jpg", KEY]
    assert {picture_of(key) for key in keys_of(KEY)} == {KEY}
    assert list(StoredPicture(b"1", b"2", b"3", 1).files(KEY)) == keys_of(KEY)


@pytest.mark.parametrize(
    "key", ["faces/a/b.jpg", "babies/b.png", "celebrities/ab/ab.heic", "https://x/y.jpg"]
)
def test_an_original_stored_unchanged_replaces_its_missing_sizes(key: str) -> None:
    assert rendition_key(key, "feed") == rendition_key(key, "thumbnail") == picture_of(key) == key
    assert keys_of(key) == [key]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the storage's clock."""

    def move(seconds: float) -> None:
        monkeypatch.setattr("semblance.storage.store.time.time", lambda: seconds)

    return move


def expiry(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["expires"][0])


def test_a_local_link_stays_the_same_for_half_its_life(local: Storage, at: Callable[[float], None]) -> None:
    links: dict[str, list[int]] = {}
    start = 1_800_000_000
    for seconds in range(start, start + 4 * HALF, 600):
        at(seconds)
        url = local.signed_url(KEY, DAY)
        assert HALF < expiry(url) - seconds <= 2 * HALF
        links.setdefault(url, []).append(seconds)
    whole = sorted(links.values())[1:-1]
    assert whole
    assert all(len(times) == HALF // 600 for times in whole)


def test_links_of_different_pictures_do_not_change_together(
    local: Storage, at: Callable[[float], None]
) -> None:
    at(1_800_000_000)
    expiries = {expiry(local.signed_url(full_key(f"faces/a/{number}"), DAY)) for number in range(100)}
    assert len(expiries) > 90


def test_the_links_of_one_picture_change_together(local: Storage, at: Callable[[float], None]) -> None:
    at(1_800_000_000)
    urls = signed_picture(local, "faces", KEY, DAY)
    assert urls[0] == local.signed_url(KEY, DAY)
    assert len({expiry(url) for url in urls}) == 1
    for url in urls:
        signature = parse_qs(urlsplit(url).query)["signature"][0]
        assert local.verify(local.key_of(url) or "", expiry(url), signature)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        (KEY, [KEY, "faces/a/b.feed.jpg", "faces/a/b.thumbnail.jpg"]),
        ("faces/a/b.png", ["faces/a/b.png"] * 3),
    ],
)
def test_a_picture_has_a_link_for_each_size(storage: Storage, key: str, names: list[str]) -> None:
    assert [storage.key_of(url) for url in signed_picture(storage, "faces", key, DAY)] == names


def test_a_buckets_link_is_remembered_for_half_its_life(remote: Storage, at: Callable[[float], None]) -> None:
    start = 1_800_000_000
    urls = []
    for seconds in range(start, start + 2 * HALF, 600):
        at(seconds)
        urls.append(remote.signed_url(KEY, DAY))
    # A bucket signs by its own clock, in seconds.
    assert len(set(urls)) <= 3
    assert remote.signed_url(KEY, DAY) == urls[-1]
    assert "X-Amz-Expires=86400" in urls[0]


def test_a_link_of_temporary_credentials_is_not_remembered(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(Settings(home=tmp_path, storage_url=bucket))
    numbers = itertools.count()
    # Such URLs differ only when the second does.
    monkeypatch.setattr(
        "semblance.storage.store.obstore.sign", lambda *_: f"https://x?X-Amz-Security-Token={next(numbers)}"
    )
    assert storage.signed_url(KEY, DAY) != storage.signed_url(KEY, DAY)


def test_a_bucket_lets_browsers_keep_its_pictures(remote: Storage) -> None:
    put_picture_sync(remote, KEY, StoredPicture(b"full", b"feed", b"thumbnail", 1))
    for key, content in zip(keys_of(KEY), (b"feed", b"thumbnail", b"full"), strict=True):
        answer = httpx.get(remote.signed_url(key, DAY))
        assert (answer.status_code, answer.content) == (200, content)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "private, max-age=43200, immutable"
        again = httpx.get(remote.signed_url(key, DAY), headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


def test_a_link_contains_its_key(storage: Storage) -> None:
    url = storage.signed_url(KEY, DAY)
    assert storage.key_of(url) == KEY
    assert storage.key_of(url.partition("?")[0]) == KEY


@pytest.mark.parametrize(
    "url",
    [
        *("", KEY, "https://", "https://[::1/objects/a.jpg", "https://old.host/faces/a/b.jpg"),
        *("javascript:/objects/a.jpg", "https://x/objects/", "https://x/objects/../etc/passwd"),
        *("https://x/objects/a%2fb.jpg", "https://x/objects/a b.jpg", "//objects", "data:/objects/a.jpg"),
    ],
)
def test_an_invalid_link_has_no_key(storage: Storage, url: str) -> None:
    assert storage.key_of(url) is None


def test_a_local_link_may_be_of_any_host(local: Storage) -> None:
    url = local.signed_url(KEY, DAY)
    for base in ("https://faces.example", "http://127.0.0.1:8000", "https://example.com/semblance"):
        assert local.key_of(base + url) == KEY


async def test_a_failed_put_is_reported_after_the_others_have_ended(
    local: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, gate = Storage.put, asyncio.Event()

    async def fails_first(self: Storage, key: str, data: bytes, kind: str) -> None:
        if key == keys_of(KEY)[0]:
            asyncio.get_running_loop().call_later(0.05, gate.set)
            raise StorageError("The picture store failed: it is full.")
        await gate.wait()
        await put(self, key, data, kind)

    monkeypatch.setattr(Storage, "put", fails_first)
    with pytest.raises(StorageError, match="it is full"):
        await put_picture(local, KEY, StoredPicture(b"full", b"feed", b"thumbnail", 1))
    assert sorted(await local.keys("faces")) == sorted(keys_of(KEY)[1:])
