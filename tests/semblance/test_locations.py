"""The picture locations of the old app: settings, keys of copies, buckets and folders."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import cast

import httpx
import obstore
import pytest
from obstore.store import S3Store
from pydantic import SecretStr, ValidationError

from semblance.errors import ConfigurationError, ImageTooLargeError, NotFoundError, StorageError
from semblance.settings import Settings
from semblance.storage.locations import Original, copy_key, original_of
from semblance.storage.opening import open_storage
from semblance.storage.pictures import (
    full_key,
    picture_exists,
    read_picture,
    read_picture_sync,
    remove_picture,
    shown_key,
)
from semblance.storage.store import Storage

HOUR = timedelta(hours=1)

PATHS = [
    "8c6f/1699999999999-ab12cd34.jpg",
    "a_b/c-d.e.jpg",
    "with space (1)+'x'&y=z,@!$;:.jpg",
    "Zoë/日本.heic",
    "a%20b_5F%.png",
    ".hidden/.file.jpg",
    "a/./b//c/",
    "/from/the/root.jpg",
    "~x?y#z.jpg",
    "faces/x.full.jpg.png",
    "UPPER/CASE.JPG",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_copys_key_and_its_original_follow_from_each_other(path: str, tmp_path: Path) -> None:
    storage = open_storage(Settings(home=tmp_path))
    originals = [Original("faces", path), Original("celebrities", path), Original("babies", path)]
    keys = list(map(copy_key, originals))
    assert len(set(keys)) == 3
    assert list(map(original_of, keys)) == originals
    # The main store accepts them as keys.
    assert None not in map(storage.local_file, keys)


def test_plain_paths_stay_readable() -> None:
    assert copy_key(Original("faces", "8c6f/17-ab.jpg")) == "old/faces/8c6f/17-ab.jpg.full.jpg"


@pytest.mark.parametrize("path", ["x" * 1000, f"a/{'é' * 100}.jpg", "/".join(["abc"] * 200), ""])
def test_an_overlong_or_invalid_path_has_a_key(path: str, tmp_path: Path) -> None:
    key = copy_key(Original("faces", path))
    assert key != copy_key(Original("faces", path + "x"))
    storage = open_storage(Settings(home=tmp_path))
    storage.put_sync(key, b"x", "image/jpeg")
    assert storage.get_sync(key) == b"x"


@pytest.mark.parametrize(
    "key", ["faces/a/b.full.jpg", "old/other/x.full.jpg", "old/faces/x.jpg", "old/faces/.full.jpg"]
)
def test_other_keys_are_not_copies(key: str) -> None:
    assert original_of(key) is None


def test_the_setting_names_a_place_for_each_table() -> None:
    said = (
        "faces=s3://faces?endpoint=https://project.supabase.co/storage/v1/s3&region=eu-central-1&variables=OLD,"
        " celebrities = s3://celebrity-images/some/prefix , babies=file:///srv/with space/babies"
    )
    places = Settings.model_validate({"old_storage": said}).old_storage
    assert list(places) == ["faces", "celebrities", "babies"]
    assert places["celebrities"] == "s3://celebrity-images/some/prefix"
    assert Settings().old_storage == {}


@pytest.mark.parametrize(
    "said",
    [
        *("s3://faces", "faces", "faces=", "faces=/srv/x", "faces=file://host/x", "faces=https://host/x"),
        *("people=s3://x", "faces=s3://x,faces=s3://y", "faces=s3://x?acl=public", "faces=s3://"),
        "faces=s3://x?endpoint=ftp://x",
    ],
)
def test_an_invalid_location_is_refused(said: str) -> None:
    with pytest.raises(ValidationError, match="old_storage"):
        Settings.model_validate({"old_storage": said})


def test_a_table_without_pictures_is_refused_with_the_valid_names() -> None:
    with pytest.raises(ValidationError, match="'people' is not a table with pictures; these are faces, cel"):
        Settings.model_validate({"old_storage": "people=s3://x"})


def test_a_key_in_the_setting_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"old_storage": "faces=s3://AKIA:hunter2@faces"})
    assert "hunter2" not in str(caught.value.errors(include_url=False, include_input=False))


@pytest.fixture(params=["folder", "bucket"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place with files under the first paths and one that is large."""
    files = {path: path.encode() for path in PATHS[:5]} | {"large.jpg": b"x" * 2000}
    if request.param == "folder":
        for path, data in files.items():
            (tmp_path / "old" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "old" / path).write_bytes(data)
        return (tmp_path / "old").as_uri()
    url: str = request.getfixturevalue("bucket")
    store = S3Store.from_url(f"{url}/pre")
    for path, data in files.items():
        obstore.put(store, path, data)
    return f"{url}/pre"


@pytest.fixture
def storage(old: str, tmp_path: Path) -> Storage:
    return open_storage(Settings(home=tmp_path / "home", max_image_bytes=1000, old_storage={"faces": old}))


@pytest.mark.parametrize("path", PATHS[:5])
async def test_a_picture_is_read_by_the_path_in_its_row(storage: Storage, path: str) -> None:
    assert await read_picture(storage, "faces", path) == path.encode()
    assert read_picture_sync(storage, "faces", path) == path.encode()
    assert await picture_exists(storage, "faces", path)
    location = storage.locations["faces"]
    await location.delete(path)
    await location.delete(path)
    assert not await location.exists(path)


@pytest.mark.parametrize("path", ["none.jpg", "a//b", "../x", "a\nb", "", "x" * 2000])
async def test_a_missing_picture_is_reported(storage: Storage, path: str) -> None:
    location = storage.locations["faces"]
    assert not await location.exists(path)
    with pytest.raises(NotFoundError):
        await location.get(path)
    with pytest.raises(NotFoundError):
        location.get_sync(path)
    await location.delete(path)


async def test_a_file_over_the_limit_is_refused_before_it_is_read(storage: Storage) -> None:
    with pytest.raises(ImageTooLargeError, match="larger than 1,000 bytes"):
        await read_picture(storage, "faces", "large.jpg")
    with pytest.raises(ImageTooLargeError):
        read_picture_sync(storage, "faces", "large.jpg")


async def test_our_own_pictures_are_read_from_the_store(storage: Storage) -> None:
    """New pictures, other tables, and what an earlier version stored as it came."""
    new, raw = full_key("faces/a"), "faces/raw.jpg"
    await storage.put(new, b"new", "image/jpeg")
    await storage.put(raw, b"raw", "image/jpeg")
    assert shown_key(storage, "faces", new) == new
    assert shown_key(storage, "celebrities", raw) == raw
    assert await read_picture(storage, "faces", new) == b"new"
    assert await read_picture(storage, "faces", raw) == b"raw"
    assert await picture_exists(storage, "faces", raw)


async def test_a_place_that_cannot_be_reached_is_a_storage_error(tmp_path: Path, s3_endpoint: str) -> None:
    storage = open_storage(Settings(home=tmp_path, old_storage={"faces": "s3://no-such-bucket-here"}))
    with pytest.raises(StorageError):
        await storage.locations["faces"].probe()
    with pytest.raises(StorageError, match="old app"):
        open_storage(Settings(home=tmp_path, old_storage={"faces": (tmp_path / "none").as_uri()}))


async def test_each_location_has_its_own_endpoint_and_credentials(
    tmp_path: Path, bucket: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's own variables name another bucket."""
    obstore.put(S3Store.from_url(bucket), "a.jpg", b"x")
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OLD_AWS_ACCESS_KEY_ID", "OLDKEY")
    place = f"{bucket}?endpoint={s3_endpoint}&region=eu-west-3&variables=OLD"
    storage = open_storage(Settings(home=tmp_path, old_storage={"celebrities": place}))
    assert await storage.locations["celebrities"].get("a.jpg") == b"x"
    signed = obstore.sign(cast(S3Store, storage.locations["celebrities"]._store), "GET", "a.jpg", HOUR)
    assert "Credential=OLDKEY" in signed
    assert "eu-west-3" in signed


def test_links_to_copies_in_a_bucket_are_signed_by_the_service(tmp_path: Path, bucket: str) -> None:
    """Every node signs them the same way, with any home. Nobody can sign them without the key."""
    key = copy_key(Original("faces", "a/b.jpg"))

    def opened(home: str, api_key: str | None) -> Storage:
        secret = None if api_key is None else SecretStr(api_key)
        return open_storage(
            Settings(
                home=tmp_path / home,
                storage_url=f"{bucket}/main",
                api_key=secret,
                old_storage={"faces": tmp_path.as_uri()},
            )
        )

    one, two, other = (
        opened("a", "a-key-of-some-length"),
        opened("b", "a-key-of-some-length"),
        opened("c", "another-key"),
    )
    link = httpx.URL(one.signed_url(key, HOUR))
    assert link.path == f"/objects/{key}"
    expires, signature = int(link.params["expires"]), link.params["signature"]
    assert two.verify(key, expires, signature)
    assert not other.verify(key, expires, signature)
    assert one.key_of(f"https://api.example/base{link}") == key
    assert one.key_of(f"https://api.example/objects/{full_key('faces/a')}") is None
    # Everything else is signed by the bucket.
    assert one.key_of(one.signed_url(full_key("faces/a"), HOUR)) == full_key("faces/a")
    assert not one.signed_url(full_key("faces/a"), HOUR).startswith("/")
    with pytest.raises(ConfigurationError, match="SEMBLANCE_API_KEY"):
        opened("d", None).signed_url(key, HOUR)


async def test_celebrities_who_were_profiles_have_their_pictures_among_the_faces(tmp_path: Path) -> None:
    for place, path in (("faces", "cher/1.jpg"), ("celebrities", "2.jpg"), ("faces", "2.jpg")):
        (tmp_path / place / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place / path).write_bytes(place.encode())
    places = {name: (tmp_path / name).as_uri() for name in ("faces", "celebrities")}
    storage = open_storage(Settings(home=tmp_path / "home", old_storage=places))
    assert await read_picture(storage, "celebrities", "cher/1.jpg") == b"faces"
    assert read_picture_sync(storage, "celebrities", "cher/1.jpg") == b"faces"
    assert await picture_exists(storage, "celebrities", "cher/1.jpg")
    assert await read_picture(storage, "celebrities", "2.jpg") == b"celebrities"
    assert not await picture_exists(storage, "celebrities", "3.jpg")
    # Removing the celebrity must not remove the picture of the face.
    await remove_picture(storage, "celebrities", "cher/1.jpg")
    assert await picture_exists(storage, "faces", "cher/1.jpg")
    # Pictures of users are not looked for among the celebrities.
    (tmp_path / "celebrities" / "3.jpg").write_bytes(b"celebrities")
    assert not await picture_exists(storage, "faces", "3.jpg")
