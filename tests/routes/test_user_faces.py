"""Users' faces: what an upload stores and refuses, whose they are, and what a deletion leaves."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest

from db.pool import Database
from db.queries import queries
from semblance.errors import StorageError
from semblance.settings import Settings
from semblance.storage.pictures import keys_of, picture_of
from semblance.storage.store import Storage
from semblance.types import AnalyzedFace, Detection
from serve_app.api import deadline
from tests.support.api import Api, LocalFaces
from tests.support.photos import NO_FACE, OBAMA_2, couple
from tests.support.rows_faces import (
    add_match,
    photo,
    row_counts,
    set_limit,
    tables_with,
    upload,
    uploaded,
)


@pytest.fixture
def api_settings(api_settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """With what a test changes by `@pytest.mark.parametrize("api_settings", [{...}], indirect=True)`."""
    changes: dict[str, object] = {"max_inflight": 200, **getattr(request, "param", {})}
    return api_settings.model_copy(update=changes)


async def keys(storage: Storage) -> list[str]:
    """Of the stored pictures, as rows name them."""
    stored = [key for folder in ("faces", "babies") for key in await storage.keys(folder)]
    pictures = sorted(set(map(picture_of, stored)))
    assert sorted(stored) == sorted(name for key in pictures for name in keys_of(key))
    return pictures


@pytest.fixture
def signings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the pictures whose links were made, once for each time."""
    keys: list[str] = []
    sign = Storage.signed_urls

    def signed_urls(storage: Storage, key: str, *args: Any) -> tuple[str, ...]:
        keys.append(key)
        return sign(storage, key, *args)

    monkeypatch.setattr(Storage, "signed_urls", signed_urls)
    return keys


async def test_the_links_of_a_picture_are_made_together(api: Api, signings: list[str]) -> None:
    user = await api.member("ada")
    uploads = [(await upload(api, user, data)).json() for data in (OBAMA_2.read_bytes(), photo(1))]
    assert len(signings) == 2
    listed = (await api.client.get("/api/faces", headers=user.headers)).json()["faces"]
    links = ("image_url", "feed_url", "thumbnail_url")
    assert [[face[link] for link in links] for face in listed] == [
        [face[link] for link in links] for face in reversed(uploads)
    ]
    assert len(set(signings)) == 2
    assert len(signings) == 4


async def test_an_upload_stores_picture_row_and_job(api: Api) -> None:
    user = await api.member("ada")
    data = OBAMA_2.read_bytes()
    answer = await upload(api, user, data)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert body["message"] == "Photo uploaded! Matches generating in background..."
    assert (body["faces_found"], body["note"]) == (1, None)

    row = await api.services.database.fetchrow("SELECT * FROM faces")
    assert row is not None
    assert (str(row["id"]), row["profile_id"]) == (body["id"], user.id)
    assert row["created_at"] == datetime.fromisoformat(body["created_at"])
    # MD5 finds the same file again, as rows of the old app have it; nothing is protected by it.
    assert row["image_hash"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert row["pack_digest"] == api.services.model.digest
    assert np.linalg.norm(row["embedding"].to_numpy()) == pytest.approx(1, abs=1e-3)
    assert len(row["landmarks_68"]) == 68
    assert set(row["pose"]) == {"yaw", "pitch", "roll"}
    assert [name for name, value in row.items() if value is None] == []
    assert row["gender"] == "male"

    assert await keys(api.services.storage) == [row["image_path"]]
    assert row["image_path"] == f"faces/{user.id}/{body['id']}.full.jpg"
    job = await api.services.database.fetchrow("SELECT * FROM match_jobs")
    assert job is not None
    assert (str(job["id"]), job["face_id"], job["status"]) == (body["job_id"], row["id"], "pending")
    profile = await api.services.db.profiles.get(user.id)
    assert profile is not None
    assert profile.default_face_id == row["id"]


async def test_the_signed_url_opens_the_picture_and_expires(api: Api) -> None:
    answer = await upload(api, await api.member("ada"), photo(file_format="PNG"))
    url = httpx.URL(answer.json()["image_url"])
    picture = await api.client.get(url)
    assert picture.status_code == 200
    assert picture.headers["content-type"] == "image/jpeg"
    assert (await api.client.get(url.copy_remove_param("signature"))).status_code == 422
    key = url.path.removeprefix("/objects/")
    expired = api.services.storage.signed_url(key, -timedelta(seconds=2))
    assert (await api.client.get(expired)).status_code == 403


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
async def test_the_key_does_not_depend_on_the_file_name(api: Api, file_format: str) -> None:
    data = photo(file_format=file_format)
    user = await api.member("ada")
    answer = await api.client.post(
        "/api/faces", files={"file": ("../../evil.exe", data, "text/html")}, headers=user.headers
    )
    assert answer.status_code == 202
    (key,) = await keys(api.services.storage)
    assert key == f"faces/{user.id}/{answer.json()['id']}.full.jpg"


async def test_several_faces_give_the_largest_and_a_note(api: Api) -> None:
    answer = await upload(api, await api.member("ada"), couple())
    assert answer.status_code == 202
    assert answer.json()["faces_found"] == 2
    assert answer.json()["note"] == "The photo shows 2 faces; the largest was taken."
    (described,) = await api.services.database.fetch("SELECT embedding FROM faces")
    _, faces = await api.services.faces.analyze_photo(couple(), 2)
    assert described["embedding"].to_numpy() == pytest.approx(faces[0].embedding, abs=1e-4)


@pytest.mark.parametrize("api_settings", [{"refuse_several_faces": True}], indirect=True)
async def test_several_faces_may_be_refused(api: Api) -> None:
    user = await api.member("ada")
    answer = await upload(api, user, couple())
    assert (answer.status_code, answer.json()["code"]) == (400, "several_faces")
    assert await row_counts(api.services.database) == {"profiles": 1, "user_daily_quotas": 1}
    assert await keys(api.services.storage) == []
    assert (await upload(api, user, photo())).status_code == 202


async def test_what_is_refused_leaves_nothing_but_its_count(api: Api) -> None:
    user = await api.member("ada")
    no_face = await upload(api, user, NO_FACE.read_bytes())
    assert no_face.status_code == 400
    assert no_face.json()["error"] == "No face detected in image"
    assert no_face.json()["code"] == "no_face"
    assert (await upload(api, user, b"no picture")).status_code == 415
    assert (await upload(api, user, photo()[:2000])).status_code == 415
    assert (await upload(api, user, b"")).status_code == 400
    assert (await upload(api, user, b"x" * (api.services.settings.max_image_bytes + 1))).status_code == 413
    assert (await api.client.post("/api/faces", files={"file": photo()})).status_code == 401
    assert await row_counts(api.services.database) == {"profiles": 1, "user_daily_quotas": 1}
    # Those that were processed: without a face, not a picture, half a picture.
    assert await api.services.database.fetchval("SELECT count FROM user_daily_quotas") == 3
    assert await keys(api.services.storage) == []


async def test_the_same_picture_twice(api: Api) -> None:
    user = await api.member("ada")
    face = await uploaded(api, user)
    again = await upload(api, user, photo())
    assert again.status_code == 400
    assert again.json()["error"] == "This photo has already been uploaded."
    assert again.json()["code"] == "duplicate_picture"
    assert [row["id"] for row in await api.services.database.fetch("SELECT id FROM faces")] == [face]
    # Another user may upload it, and the same user once it is deleted.
    await uploaded(api, await api.member("bob"))
    await api.client.delete(f"/api/faces/{face}", headers=user.headers)
    await uploaded(api, user)


async def test_the_same_picture_at_the_same_time(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each copy that caused work counts."""
    looked_at, describe = 0, LocalFaces.analyze_photo

    async def counted(self: LocalFaces, *args: Any) -> tuple[Detection, list[AnalyzedFace]]:
        nonlocal looked_at
        looked_at += 1
        return await describe(self, *args)

    monkeypatch.setattr(LocalFaces, "analyze_photo", counted)
    user = await api.member("ada")
    answers = await asyncio.gather(*(upload(api, user, photo()) for _ in range(8)))
    assert Counter(answer.status_code for answer in answers) == {202: 1, 400: 7}
    assert await row_counts(api.services.database) == {
        "profiles": 1, "faces": 1, "match_jobs": 1, "user_daily_quotas": 1,
    }  # fmt: skip
    assert looked_at > 1
    assert await api.services.database.fetchval("SELECT count FROM user_daily_quotas") == looked_at
    assert len(await keys(api.services.storage)) == 1


@pytest.mark.parametrize("ended_by", ["deadline", "client"])
async def test_our_deadline_is_not_counted_and_a_client_that_leaves_is(
    api: Api, monkeypatch: pytest.MonkeyPatch, ended_by: str
) -> None:
    begun = asyncio.Event()
    deadlines: list[asyncio.Timeout] = []

    async def hang(*_: object) -> None:
        begun.set()
        if ended_by == "deadline":
            deadlines[-1].reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    user = await api.member("ada")
    assert (await api.client.get("/api/faces", headers=user.headers)).status_code == 200
    monkeypatch.setattr(LocalFaces, "analyze_photo", hang)
    if ended_by == "deadline":

        def noted(seconds: float) -> asyncio.Timeout:
            deadlines.append(asyncio.timeout(seconds))
            return deadlines[-1]

        clock = SimpleNamespace(timeout=noted, get_running_loop=asyncio.get_running_loop)
        monkeypatch.setattr(deadline, "asyncio", clock)
        answer = await upload(api, user, photo())
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    else:
        sent = asyncio.create_task(upload(api, user, photo()))
        await begun.wait()
        sent.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sent
    assert begun.is_set()
    expected = 0 if ended_by == "deadline" else 1
    assert await api.services.database.fetchval("SELECT count FROM user_daily_quotas") == expected


async def test_a_photo_that_is_deleted_before_the_answer_is_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others see the face, and may delete it, before the upload's second statement."""
    user = await api.member("ada")
    fetchval = Database.fetchval

    async def after_deletion(database: Database, query: str, *args: Any) -> Any:
        if query == queries["stored_match_job"]:
            gone = await api.client.delete(f"/api/faces/{args[0]}", headers=user.headers)
            assert gone.status_code == 204
        return await fetchval(database, query, *args)

    monkeypatch.setattr(Database, "fetchval", after_deletion)
    answer = await upload(api, user, photo())
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    database = api.services.database
    assert await database.fetchval("SELECT count FROM user_daily_quotas") == 1
    assert (await database.fetchval("SELECT count(*) FROM faces"), await keys(api.services.storage)) == (
        0,
        [],
    )


async def test_a_photo_of_an_account_that_is_deleted_meanwhile_is_not_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await api.member("ada")
    fetchval = Database.fetchval

    async def after_deletion(database: Database, query: str, *args: Any) -> Any:
        if query == queries["insert_face"]:
            assert len(await keys(api.services.storage)) == 1
            await api.services.db.accounts.delete(user.id, "ada", by=None)
        return await fetchval(database, query, *args)

    monkeypatch.setattr(Database, "fetchval", after_deletion)
    answer = await upload(api, user, photo())
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert await keys(api.services.storage) == []
    assert await api.services.database.fetchval("SELECT count(*) FROM faces") == 0


async def test_a_hundred_uploads_at_once_with_a_limit_of_five(api: Api) -> None:
    await set_limit(api.services.database, "photo_upload", 5)
    user = await api.member("ada")
    answers = await asyncio.gather(*(upload(api, user, photo(number)) for number in range(100)))
    assert Counter(answer.status_code for answer in answers) == {202: 5, 429: 95}
    assert await api.services.database.fetchval("SELECT count(*) FROM faces") == 5
    assert await api.services.database.fetchval("SELECT count FROM user_daily_quotas") == 5
    assert len(await keys(api.services.storage)) == 5


async def test_over_the_daily_limit(api: Api) -> None:
    await set_limit(api.services.database, "photo_upload", 1)
    user = await api.member("ada")
    await uploaded(api, user, 1)
    before = datetime.now(UTC)
    answer = await upload(api, user, photo(2))
    assert answer.status_code == 429
    body = answer.json()
    midnight = before.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert body["error"] == "Daily photo upload limit reached."
    assert body["message"]
    assert (body["limit"], body["current"], body["type"]) == (1, 1, "photo_upload")
    assert datetime.fromisoformat(body["resetAt"]) == midnight
    refused, second = midnight - timedelta(seconds=int(answer.headers["retry-after"])), timedelta(seconds=1)
    assert before - second <= refused <= datetime.now(UTC) + second
    # Each has a limit of their own.
    await uploaded(api, await api.member("bob"), 2)


async def test_lists_are_own_newest_first_and_stable_by_cursor(api: Api) -> None:
    user, other = await api.member("ada"), await api.member("bob")
    faces = [str(await uploaded(api, user, number)) for number in range(3)]
    await uploaded(api, other)
    # Equal times must neither skip nor repeat.
    await api.services.database.execute(
        "UPDATE faces SET created_at = '2026-01-01' WHERE profile_id = $1", user.id
    )
    everything = (await api.client.get("/api/faces", headers=user.headers)).json()
    assert {face["id"] for face in everything["faces"]} == set(faces)
    assert (everything["total"], everything["next_cursor"]) == (3, None)
    assert set(everything["faces"][0]) == {"id", "image_url", "feed_url", "thumbnail_url", "created_at"}

    first = (await api.client.get("/api/faces?limit=2", headers=user.headers)).json()
    newest = str(await uploaded(api, user, 3))
    rest = await api.client.get(
        "/api/faces", params={"limit": 2, "cursor": first["next_cursor"]}, headers=user.headers
    )
    assert rest.json()["next_cursor"] is None
    pages = [face["id"] for face in first["faces"] + rest.json()["faces"]]
    assert pages == [face["id"] for face in everything["faces"]]
    again = (await api.client.get("/api/faces", headers=user.headers)).json()
    assert again["faces"][0]["id"] == newest

    for query in ("limit=0", "limit=101", "cursor=x" + "y" * 200):
        assert (await api.client.get(f"/api/faces?{query}", headers=user.headers)).status_code == 422
    assert (await api.client.get("/api/faces?cursor=abc", headers=user.headers)).status_code == 400
    assert (await api.client.get("/api/faces")).status_code == 401


async def test_a_deletion_leaves_nothing(api: Api) -> None:
    database, storage = api.services.database, api.services.storage
    user, other = await api.member("ada"), await api.member("bob")
    others_face = await uploaded(api, other)
    before = await row_counts(database)
    others_keys = await keys(storage)

    face = await uploaded(api, user)
    match, connection, celebrity = await add_match(database, face, others_face), uuid4(), uuid4()
    baby, message = uuid4(), uuid4()
    await storage.put(f"babies/{match}/{baby}.png", b"a picture", "image/png")
    await database.execute(
        "INSERT INTO babies (id, match_id, generated_by_profile_id, image_url) VALUES ($1, $2, $3, $4),"
        " (gen_random_uuid(), $2, $3, 'https://fal.media/old.png')",
        baby, match, other.id, f"babies/{match}/{baby}.png",
    )  # fmt: skip
    await database.execute(
        "INSERT INTO reactions (match_id, user_profile_id, reaction_type) VALUES ($1, $2, 'like')",
        match,
        other.id,
    )
    await database.execute(
        "INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id, baby_id)"
        " VALUES ($1, $2, $3, $4, $5)",
        connection, user.id, other.id, match, baby,
    )  # fmt: skip
    await database.execute(
        "INSERT INTO messages (id, connection_id, sender_id, content) VALUES ($1, $2, $3, 'hello')",
        message, connection, other.id,
    )  # fmt: skip
    await database.execute(
        "INSERT INTO celebrities (id, name, image_path) VALUES ($1, 'Somebody', 'celebrities/x.jpg')",
        celebrity,
    )
    await database.execute(
        "INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score) VALUES ($1, $2, 0.5)",
        face, celebrity,
    )  # fmt: skip
    for related, kind in ((match, "match"), (baby, "baby"), (connection, "connection"), (message, "message")):
        await database.execute(
            "INSERT INTO notifications (user_id, type, title, related_id, related_type)"
            " VALUES ($1, 'mutual_match', 'It is a match', $3, $4),"
            " ($2, 'mutual_match', 'It is a match', $3, $4)",
            user.id, other.id, related, kind,
        )  # fmt: skip
    assert len(await keys(storage)) == 3
    assert len(await tables_with(api.owner, face, match, baby, connection, message)) >= 9
    # The rows of others must stay.
    await database.execute(
        "INSERT INTO notifications (user_id, type, title, related_id, related_type)"
        " VALUES ($1, 'mutual_match', 'Another match', gen_random_uuid(), 'match')",
        other.id,
    )

    assert (await api.client.delete(f"/api/faces/{face}", headers=user.headers)).status_code == 204
    # What the user has used of the day's quota is not given back.
    left = {**before, "user_daily_quotas": 2, "celebrities": 1, "notifications": 1}
    assert await row_counts(database) == left
    assert await tables_with(api.owner, face, match, baby, connection, message) == []
    assert await keys(storage) == others_keys
    assert (await api.client.delete(f"/api/faces/{face}", headers=user.headers)).status_code == 404


async def test_a_face_of_another_user_is_unknown(api: Api) -> None:
    user, other = await api.member("ada"), await api.member("bob")
    face = await uploaded(api, other)
    assert (await api.client.delete(f"/api/faces/{face}", headers=user.headers)).status_code == 404
    assert (await api.client.delete(f"/api/faces/{face}")).status_code == 401
    assert (await api.client.delete("/api/faces/x", headers=user.headers)).status_code == 422
    assert (await api.client.get("/api/faces", headers=other.headers)).json()["total"] == 1
    assert len(await keys(api.services.storage)) == 1


async def test_the_newest_remaining_face_becomes_the_default(api: Api) -> None:
    user = await api.member("ada")
    first, second, third = [await uploaded(api, user, number) for number in range(3)]

    async def default() -> UUID | None:
        profile = await api.services.db.profiles.get(user.id)
        assert profile is not None
        return profile.default_face_id

    assert await default() == third
    await api.client.delete(f"/api/faces/{first}", headers=user.headers)
    assert await default() == third
    await api.client.delete(f"/api/faces/{third}", headers=user.headers)
    assert await default() == second
    await api.client.delete(f"/api/faces/{second}", headers=user.headers)
    assert await default() is None


async def test_faces_deleted_and_uploaded_at_once(api: Api) -> None:
    user = await api.member("ada")
    for turn in range(3):
        old = [await uploaded(api, user, 10 * turn + number) for number in range(4)]
        answers = await asyncio.gather(
            *(
                api.client.delete(f"/api/faces/{face}", headers=user.headers)
                for face in old
                for _ in range(2)
            ),
            uploaded(api, user, 10 * turn + 9),
        )
        codes = Counter(answer.status_code for answer in answers if isinstance(answer, httpx.Response))
        assert codes == {204: 4, 404: 4}
        newest = answers[-1]
        profile = await api.services.db.profiles.get(user.id)
        assert profile is not None
        assert profile.default_face_id == newest
    assert len(await keys(api.services.storage)) == 3


async def test_a_picture_that_cannot_be_removed_is_removed_later(api: Api) -> None:
    user = await api.member("ada")
    face = await uploaded(api, user)
    folder = Path(api.services.settings.home) / "objects" / "faces" / str(user.id)
    # A folder in the picture's place: no user, not even root, can delete it like a file.
    picture = folder / f"{face}.full.jpg"
    picture.unlink()
    (picture / "in-the-way").mkdir(parents=True)
    assert (await api.client.delete(f"/api/faces/{face}", headers=user.headers)).status_code == 204
    assert (await api.client.get("/api/faces", headers=user.headers)).json()["total"] == 0
    (deletion,) = await api.services.database.fetch("SELECT * FROM object_deletions")
    assert deletion["key"] == f"faces/{user.id}/{face}.full.jpg"


async def test_a_storage_that_fails_stores_and_counts_nothing(api: Api) -> None:
    user = await api.member("ada")
    (Path(api.services.settings.home) / "objects" / "faces").write_text("a file where the folder should be")
    answer = await upload(api, user, photo())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert await row_counts(api.services.database) == {"profiles": 1, "user_daily_quotas": 1}
    assert await api.services.database.fetchval("SELECT count FROM user_daily_quotas") == 0


async def test_a_storage_that_fails_halfway_keeps_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Storage.put

    async def no_thumbnail(self: Storage, key: str, data: bytes, kind: str) -> None:
        if "thumbnail" in key:
            raise StorageError("The picture store failed: it is full.")
        await put(self, key, data, kind)

    monkeypatch.setattr(Storage, "put", no_thumbnail)
    answer = await upload(api, await api.member("ada"), photo())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    assert await keys(api.services.storage) == []
    assert await api.services.database.fetchval("SELECT count(*) FROM object_deletions") == 0


class TestBucket:
    """The same on an S3 server."""

    @pytest.fixture
    def api_settings(self, api_settings: Settings, bucket: str) -> Settings:
        return api_settings.model_copy(update={"storage_url": f"{bucket}/pictures"})

    async def test_pictures_are_served_by_the_bucket(self, api: Api, s3_endpoint: str) -> None:
        user = await api.member("ada")
        answer = await upload(api, user, photo())
        assert answer.status_code == 202, answer.text
        url = answer.json()["image_url"]
        assert url.startswith(s3_endpoint)
        assert "X-Amz-Expires=86400" in url
        async with httpx.AsyncClient() as client:
            picture = await client.get(url)
            assert picture.status_code == 200
            assert picture.headers["content-type"] == "image/jpeg"
            listed = (await api.client.get("/api/faces", headers=user.headers)).json()["faces"]
            assert listed[0]["image_url"] == url
            deleted = await api.client.delete(f"/api/faces/{answer.json()['id']}", headers=user.headers)
            assert deleted.status_code == 204
            assert (await client.get(url)).status_code == 404
        assert await keys(api.services.storage) == []
