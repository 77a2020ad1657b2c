"""Pictures of the old app, by adopted rows: nobody sees what else their files carry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from semblance.errors import OverloadedError
from semblance.settings import Settings
from semblance.storage.locations import Original, copy_key
from semblance.storage.pictures import full_key, keys_of
from serve_app.links import Links
from tests.support.api import Api, User
from tests.support.laden import SECRET, assert_only_a_picture, laden, portrait

FACE, CELEBRITY = "0b/1699-ab.jpg", "Tom Hanks.jpg"
URLS = ("image_url", "feed_url", "thumbnail_url")


@pytest.fixture(params=["folder", "bucket"])
def api_settings(api_settings: Settings, request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The old app's places are folders; the main store is of either kind."""
    places = {}
    for table, path in (("faces", FACE), ("celebrities", CELEBRITY)):
        file = tmp_path / "old" / table / path
        file.parent.mkdir(parents=True)
        file.write_bytes(laden(portrait(1400), "JPEG"))
        places[table] = (tmp_path / "old" / table).as_uri()
    changes: dict[str, object] = {"old_storage": places}
    if request.param == "bucket":
        changes["storage_url"] = f"{request.getfixturevalue('bucket')}/pictures"
    return api_settings.model_copy(update=changes)


folder_alone = pytest.mark.parametrize("api_settings", ["folder"], indirect=True)
"""For what does not depend on the kind of store."""


async def add_face(api: Api, user: User, path: str = FACE) -> UUID:
    face: UUID = await api.owner.fetchval(
        "INSERT INTO faces (profile_id, image_path) VALUES ($1, $2) RETURNING id", user.id, path
    )
    return face


async def listed(api: Api, user: User) -> dict[str, str]:
    answer = await api.client.get("/api/faces", headers=user.headers)
    (face,) = answer.json()["faces"]
    return {name: face[name] for name in URLS}


async def get(api: Api, url: str) -> httpx.Response:
    """As a browser does, which follows the bucket's address."""
    answer = await api.client.get(url)
    if answer.status_code == 307:
        assert answer.headers["cache-control"].startswith("private, max-age=")
        async with httpx.AsyncClient() as outside:
            return await outside.get(answer.headers["location"])
    return answer


async def test_an_old_photo_is_shown_in_three_sizes_without_metadata(api: Api, tmp_path: Path) -> None:
    user = await api.member("ada")
    await add_face(api, user)
    urls = await listed(api, user)
    key = copy_key(Original("faces", FACE))
    for name, side in zip(URLS, (1400, 1080, 256), strict=True):
        answer = await get(api, urls[name])
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert assert_only_a_picture(answer.content).size == (side, side)
    assert sorted(await api.services.storage.keys("old")) == sorted(keys_of(key))
    # The row and the original are as they were, and the link stays the same.
    assert await api.owner.fetchval("SELECT image_path FROM faces") == FACE
    assert SECRET in (tmp_path / "old" / "faces" / FACE).read_bytes()
    assert await listed(api, user) == urls


async def test_parallel_requests_make_one_copy(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await api.member("ada")
    await add_face(api, user)
    urls, faces, made = await listed(api, user), type(api.services.faces), 0
    render = faces.render

    async def counted(*args: object) -> object:
        nonlocal made
        made += 1
        return await render(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(faces, "render", counted)
    answers = await asyncio.gather(*(get(api, url) for url in [*urls.values()] * 3))
    assert {answer.status_code for answer in answers} == {200}
    assert made == 1


@folder_alone
async def test_requests_beyond_the_limit_are_told_to_come_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await api.member("ada")
    await add_face(api, user)
    urls = await listed(api, user)
    monkeypatch.setattr("serve_app.api.copies._WAITING", 0)
    answer = await api.client.get(urls["image_url"])
    assert (answer.status_code, answer.json()["code"]) == (503, OverloadedError.code)
    monkeypatch.undo()
    assert (await get(api, urls["image_url"])).status_code == 200


@folder_alone
@pytest.mark.parametrize("content", [None, b"no picture"])
async def test_missing_files_and_files_without_a_picture_are_not_found(
    api: Api, tmp_path: Path, content: bytes | None
) -> None:
    user = await api.member("ada")
    await add_face(api, user, "0b/other.jpg")
    if content is not None:
        (tmp_path / "old" / "faces" / "0b" / "other.jpg").write_bytes(content)
    for url in (await listed(api, user)).values():
        answer = await api.client.get(url)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await api.services.storage.keys("old") == []


@folder_alone
@pytest.mark.parametrize("path", ["", "a//b", "../../etc/passwd", "x" * 2000, "Zoë & Co.jpg", "https:/x"])
async def test_no_path_in_a_row_breaks_a_list(api: Api, path: str) -> None:
    user = await api.member("ada")
    await add_face(api, user, path)
    urls = await listed(api, user)
    assert (await api.client.get(urls["feed_url"])).status_code == 404


async def test_a_link_opens_its_own_picture_alone(api: Api) -> None:
    user = await api.member("ada")
    await add_face(api, user)
    url = (await listed(api, user))["image_url"]
    assert (await api.client.get(url.replace("1699-ab", "1699-cd"))).status_code == 403
    assert (await api.client.get(url.replace("faces/0b", "celebrities/0b"))).status_code == 403
    assert (await api.client.get(url.replace("signature=", "signature=0"))).status_code == 403


@folder_alone
async def test_celebrities_come_from_a_separate_place(api: Api) -> None:
    await api.owner.execute("INSERT INTO celebrities (name, image_path) VALUES ('T', $1)", CELEBRITY)

    links = Links(api.services.settings, api.services.storage, "http://api")
    assert (await get(api, links.renditions(CELEBRITY, "celebrities").thumbnail)).status_code == 200
    assert (await api.client.get(links.renditions(CELEBRITY, "faces").thumbnail)).status_code == 404
    assert links.picture("https://fal.media/x.jpg", "babies") == "https://fal.media/x.jpg"


async def test_a_deleted_face_takes_original_copy_and_links_with_it(api: Api, tmp_path: Path) -> None:
    user = await api.member("ada")
    face = await add_face(api, user)
    urls = await listed(api, user)
    assert (await get(api, urls["image_url"])).status_code == 200
    answer = await api.client.delete(f"/api/faces/{face}", headers=user.headers)
    assert answer.status_code == 204, answer.text
    for url in urls.values():
        assert (await api.client.get(url)).status_code == 404
    assert not (tmp_path / "old" / "faces" / FACE).exists()
    assert await api.services.storage.keys("old") == []


@pytest.mark.parametrize("path", [FACE, "Zoë & Co.jpg"])
async def test_a_face_deleted_while_its_copy_is_made_has_no_copy(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    user = await api.member("ada")
    (tmp_path / "old" / "faces" / path).write_bytes(laden(portrait(400), "JPEG"))
    face = await add_face(api, user, path)
    urls, faces = await listed(api, user), type(api.services.faces)
    render, rendered, deleted = faces.render, asyncio.Event(), asyncio.Event()

    async def slow(*args: object) -> object:
        copy = await render(*args)  # type: ignore[arg-type]
        rendered.set()
        await deleted.wait()
        return copy

    monkeypatch.setattr(faces, "render", slow)
    asked = asyncio.create_task(api.client.get(urls["image_url"]))
    await rendered.wait()
    assert (await api.client.delete(f"/api/faces/{face}", headers=user.headers)).status_code == 204
    deleted.set()
    assert (await asked).status_code == 404
    assert (await api.client.get(urls["image_url"])).status_code == 404
    assert await api.services.storage.keys("old") == []


@folder_alone
async def test_a_copy_recorded_as_deleted_is_not_made_again(api: Api) -> None:
    user = await api.member("ada")
    await add_face(api, user)
    urls = await listed(api, user)
    await api.owner.execute("DELETE FROM faces")
    assert (await api.client.get(urls["image_url"])).status_code == 404
    assert await api.services.storage.keys("old") == []


async def test_an_old_photo_can_be_sent_in_a_chat(api: Api) -> None:
    """By the address that the API gave for it, or by the key in its row, before and after it is copied."""
    ada, bob, connection = await api.member("ada"), await api.member("bob"), uuid4()
    a, b = await add_face(api, ada), await add_face(api, bob, full_key("faces/b"))
    match = await api.owner.fetchval(
        "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
        " VALUES (least($1::uuid, $2), greatest($1::uuid, $2), 0.5) RETURNING id",
        a, b,
    )  # fmt: skip
    await api.owner.execute(
        "INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id)"
        " VALUES ($1, least($2::uuid, $3), greatest($2::uuid, $3), $4)",
        connection, ada.id, bob.id, match,
    )  # fmt: skip

    async def send(user: User, content: str) -> httpx.Response:
        body = {"connection_id": str(connection), "content": content, "message_type": "image"}
        return await api.client.post("/api/messages", json=body, headers=user.headers)

    url = (await listed(api, ada))["image_url"]
    for content in (url, FACE):
        sent = await send(ada, content)
        assert sent.status_code == 201, sent.text
        assert_only_a_picture((await get(api, sent.json()["content"])).content)
    assert (await send(bob, url)).status_code == 403
    assert (await send(bob, FACE)).status_code == 403
    copied = copy_key(Original("faces", FACE))
    assert await api.owner.fetchval("SELECT array_agg(DISTINCT content) FROM messages") == [copied]
    await api.owner.execute("UPDATE faces SET image_path = $2 WHERE image_path = $1", FACE, copied)
    assert (await send(ada, url)).status_code == 201
    # What the old app itself has sent stays readable.
    await api.owner.execute("UPDATE messages SET content = $1", FACE)
    answer = await api.client.get(f"/api/messages/{connection}", headers=bob.headers)
    for message in answer.json()["messages"]:
        assert (await get(api, message["content"])).status_code == 200


@folder_alone
async def test_a_face_without_an_embedding_is_analyzed_from_its_original(api: Api) -> None:
    user = await api.member("ada")
    face = await add_face(api, user)
    await api.owner.execute("INSERT INTO match_jobs (face_id, user_id) VALUES ($1, $2)", face, user.id)
    await api.services.matcher.process(5)
    row = await api.owner.fetchrow("SELECT image_path, embedding, landmarks_68 FROM faces")
    assert row is not None
    assert row["image_path"] == FACE
    assert row["embedding"] is not None
    assert max(max(point) for point in row["landmarks_68"]) > 256


@folder_alone
async def test_new_photos_go_to_the_main_store(api: Api, tmp_path: Path) -> None:
    user = await api.member("ada")
    photo = laden(portrait(400), "JPEG")
    answer = await api.client.post("/api/faces", files={"file": photo}, headers=user.headers)
    assert answer.status_code == 202, answer.text
    key = await api.owner.fetchval("SELECT image_path FROM faces")
    assert key.startswith(f"faces/{user.id}/")
    assert await api.services.storage.exists(key)
    assert [file.name for file in (tmp_path / "old" / "faces").rglob("*.jpg")] == ["1699-ab.jpg"]
