"""Pictures over HTTP: what an upload keeps of a file, how it is served and cached, and when it expires."""

from __future__ import annotations

import io
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx
import numpy as np
import pytest
from PIL import Image

from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.pictures import full_key, keys_of
from serve_app.links import Links
from tests.support.api import Api, User
from tests.support.laden import LADEN, SECRET, assert_only_a_picture, laden, portrait
from tests.support.photos import encoded

URLS = ("image_url", "feed_url", "thumbnail_url")


async def uploaded(api: Api, user: User, data: bytes) -> dict[str, str]:
    answer = await api.client.post("/api/faces", files={"file": data}, headers=user.headers)
    assert answer.status_code == 202, answer.text
    found: dict[str, str] = answer.json()
    return found


@pytest.fixture
async def face(api: Api) -> AsyncIterator[dict[str, str]]:
    """An uploaded face."""
    yield await uploaded(api, await api.member("ada"), encoded(portrait()))


@pytest.mark.parametrize("file_format", LADEN)
async def test_no_metadata_reaches_anybody(api: Api, file_format: str) -> None:
    user = await api.member("ada")
    data = laden(portrait(1400), file_format)
    face = await uploaded(api, user, data)
    for name, side in zip(URLS, (1400, 1080, 256), strict=True):
        answer = await api.client.get(face[name])
        assert answer.headers["content-type"] == "image/jpeg"
        assert assert_only_a_picture(answer.content).size == (side, side)
    folder = Path(api.services.settings.home) / "objects"
    for file in filter(Path.is_file, folder.rglob("*")):
        assert SECRET not in file.read_bytes()
    again = await api.client.post("/api/faces", files={"file": data}, headers=user.headers)
    assert again.json()["code"] == "duplicate_picture"
    (listed,) = (await api.client.get("/api/faces", headers=user.headers)).json()["faces"]
    assert {name: listed[name] for name in URLS} == {name: face[name] for name in URLS}


async def test_landmarks_are_in_pixels_of_the_stored_picture(api: Api) -> None:
    user = await api.member("ada")
    large, small = portrait(3000), portrait(3000).resize((2048, 2048))
    rows = []
    for image in (large, small):
        face = await uploaded(api, user, encoded(image, quality=95))
        query = "SELECT landmarks_68 FROM faces WHERE id = $1"
        rows.append(np.array(await api.services.database.fetchval(query, face["id"])))
    assert np.abs(rows[0] - rows[1]).mean() < 15
    assert rows[0].max() < 2048


async def test_a_48_mp_photo_is_taken(api: Api) -> None:
    face = await uploaded(api, await api.member("ada"), encoded(portrait(6928), quality=80))
    answer = await api.client.get(face["image_url"])
    assert assert_only_a_picture(answer.content).size == (2048, 2048)


async def test_a_picture_has_validators_and_may_be_kept(api: Api, face: dict[str, str]) -> None:
    answer = await api.client.get(face["image_url"])
    assert answer.headers["etag"].startswith('"')
    assert parsedate_to_datetime(answer.headers["last-modified"])
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    private, max_age, immutable = answer.headers["cache-control"].split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert 43_200 - 5 <= int(max_age.removeprefix("max-age=")) <= 86_400

    for condition in (
        {"If-None-Match": answer.headers["etag"]},
        {"If-None-Match": f'"other", W/{answer.headers["etag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": answer.headers["last-modified"]},
    ):
        again = await api.client.get(face["image_url"], headers=condition)
        assert (again.status_code, again.content) == (304, b""), condition
        assert again.headers["etag"] == answer.headers["etag"]
        assert again.headers["cache-control"].startswith("private")
    changed = await api.client.get(face["image_url"], headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.content) == (200, answer.content)


async def test_a_picture_is_served_in_parts(api: Api, face: dict[str, str]) -> None:
    whole = await api.client.get(face["image_url"])
    size = len(whole.content)
    for given, start, end in (("0-99", 0, 100), ("100-", 100, size), ("-10", size - 10, size), ("5-5", 5, 6)):
        part = await api.client.get(face["image_url"], headers={"Range": f"bytes={given}"})
        assert (part.status_code, part.content) == (206, whole.content[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"
    etag = whole.headers["etag"]
    for condition, status in ((etag, 206), (whole.headers["last-modified"], 206), ('"other"', 200)):
        part = await api.client.get(face["image_url"], headers={"Range": "bytes=0-9", "If-Range": condition})
        assert part.status_code == status
    beyond = await api.client.get(face["image_url"], headers={"Range": f"bytes={size}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{size}"
    assert beyond.json()["code"] == "range_not_satisfiable"
    head = await api.client.head(face["image_url"], headers={"Range": "bytes=0-9"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(size))


@pytest.mark.parametrize(
    "given", ["bytes=", "bytes=-", "bytes=9-3", "bytes=a-b", "lines=0-9", "bytes=0-1,3-4", "x", "bytes=0-9-"]
)
async def test_an_invalid_range_is_ignored(api: Api, face: dict[str, str], given: str) -> None:
    answer = await api.client.get(face["image_url"], headers={"Range": given})
    assert answer.status_code == 200
    assert_only_a_picture(answer.content)


async def test_a_link_stays_the_same(api: Api, face: dict[str, str]) -> None:
    user = await api.member("bob")
    assert face["image_url"] != (await uploaded(api, user, encoded(portrait(500))))["image_url"]
    expires = int(httpx.URL(face["image_url"]).params["expires"])
    key = httpx.URL(face["image_url"]).path.removeprefix("/objects/")
    assert str(expires) in api.services.storage.signed_url(key, timedelta(hours=24))


async def test_head_answers_as_get_does(api: Api, face: dict[str, str]) -> None:
    """Every GET operation, by a caller who is allowed and one who is not."""
    admin = await api.member("eve", role="admin")
    paths = [path for path, methods in api.app.openapi()["paths"].items() if "get" in methods]
    assert len(paths) > 20
    for path in [*paths, face["image_url"], "/docs", "/openapi.json", "/nowhere"]:
        if "events" in path:
            continue
        url = re.sub(r"\{\w+\}", str(uuid4()), path)
        for headers in ({}, admin.headers):
            get = await api.client.get(url, headers=headers)
            head = await api.client.head(url, headers=headers)
            assert (head.status_code, head.content) == (get.status_code, b""), path
            if get.status_code < 400 and path != "/api/admin/system":
                # The exception describes the machine, which changes from one moment to the next.
                assert head.headers.get("content-length") == get.headers.get("content-length"), path
            assert head.headers["content-type"] == get.headers["content-type"]
    assert (await api.client.head("/api/auth/logout")).status_code == 405


async def test_head_of_a_stream_ends(api: Api) -> None:
    user = await api.member("ada")
    answer = await api.client.head("/api/realtime/events", headers=user.headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert api.services.hub.clients == 0


def test_head_is_in_no_document(api: Api) -> None:
    assert all("head" not in methods for methods in api.app.openapi()["paths"].values())


async def test_older_rows_are_served_unchanged(api: Api) -> None:
    user = await api.member("ada")
    await api.services.storage.put("faces/old/1.heic", encoded(portrait(64), "HEIF"), "image/heic")
    await api.services.database.execute(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, 'faces/old/1.heic'), ($1, 'https://old/f.jpg')",
        user.id,
    )
    faces = (await api.client.get("/api/faces", headers=user.headers)).json()["faces"]
    ours, others = sorted(faces, key=lambda face: "old/f.jpg" in face["image_url"])
    assert {others[name] for name in URLS} == {"https://old/f.jpg"}
    (url,) = {ours[name] for name in URLS}
    assert (await api.client.get(url)).status_code == 200


@pytest.fixture
def objects(api: Api) -> Path:
    """The folder of the store."""
    return Path(api.services.settings.home) / "objects"


async def test_links_end_with_the_deletion_even_if_the_store_fails(
    api: Api, objects: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await api.member("ada")
    face = await uploaded(api, user, encoded(portrait()))
    database, storage = api.services.database, api.services.storage
    key = full_key(f"faces/{user.id}/{face['id']}")
    kept = {name: (objects / name).read_bytes() for name in keys_of(key)}
    broken = api.services.db.object_deletions
    with monkeypatch.context() as patch:
        # As with a read-only store: rights on a folder do not bind root.
        patch.setattr(type(storage), "delete", _refuse)
        answer = await api.client.delete(f"/api/faces/{face['id']}", headers=user.headers)
        assert answer.status_code == 204
        assert {name: (objects / name).read_bytes() for name in keys_of(key)} == kept
        for name in URLS:
            for method in ("GET", "HEAD"):
                assert (await api.client.request(method, face[name])).status_code == 404
        await database.execute("UPDATE object_deletions SET due_at = now()")
        began = await database.fetchval("SELECT now()")
        assert await broken.drain(storage) == 0
        # The request tried, too. Postponed, so that a store that fails is not called all the time.
        query = "SELECT attempts, due_at > $1::timestamptz + interval '2 seconds' FROM object_deletions"
        assert [tuple(row) for row in await database.fetch(query, began)] == [(2, True)]
    await database.execute("UPDATE object_deletions SET due_at = now()")
    assert await broken.drain(open_storage(api.services.settings)) == 1
    assert await storage.keys("faces") == []
    assert await database.fetchval("SELECT count(*) FROM object_deletions") == 0
    assert (await api.client.get(face["image_url"])).status_code == 404


async def _refuse(*_: object) -> None:
    from semblance.errors import StorageError

    raise StorageError("The picture store failed: read-only file system")


async def test_a_picture_that_was_refused_is_not_kept(api: Api) -> None:
    """The quota is used up between the first check and the row."""
    user = await api.member("ada")
    await api.owner.execute(
        "CREATE FUNCTION lower_limit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    )
    await api.owner.execute(
        "CREATE TRIGGER lower_limit BEFORE INSERT ON faces FOR EACH ROW EXECUTE FUNCTION lower_limit()"
    )
    answer = await api.client.post("/api/faces", files={"file": encoded(portrait())}, headers=user.headers)
    assert answer.json()["code"] == "duplicate_picture"
    assert await api.services.storage.keys("faces") == []
    assert await api.services.database.fetchval("SELECT count(*) FROM object_deletions") == 0


def test_the_pictures_here_are_what_they_say() -> None:
    for file_format in LADEN:
        data = laden(portrait(300), file_format)
        assert SECRET in data
        with Image.open(io.BytesIO(data)) as image:
            assert image.getexif().get_ifd(0x8825)[27]


async def test_the_life_of_links_is_a_setting(api_settings: Settings) -> None:
    storage = open_storage(api_settings)
    for seconds in (60, 3600, 24 * 3600):
        settings = api_settings.model_copy(update={"picture_link_seconds": seconds})
        url = Links(settings, storage, "http://api").picture("faces/a.jpg", "faces")
        left = int(parse_qs(urlsplit(url).query)["expires"][0]) - time.time()
        assert seconds / 2 - 2 <= left <= seconds
    assert Settings().picture_link_seconds == 24 * 3600
