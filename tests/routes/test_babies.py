from __future__ import annotations

import asyncio
import threading
import uuid
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from db.babies import Claim
from db.generation_logs import GENERATION_LIFETIME
from deployments.faces.decoder import LazyDecoder
from semblance.errors import StorageError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from serve_app.babies.maker import open_baby_maker
from tests.support.api import API_KEY, CRON_SECRET, JWT_SECRET, Api
from tests.support.fal import KEY, FalServer, Reply
from tests.support.rows_babies import Parents, add_face, add_match, add_pair, make_baby
from tests.support.rows_faces import set_limit
from tests.support.waiting import PATIENCE_S, until


@pytest.fixture
def provider() -> str:
    """Override by parametrize: `local` or `fal`."""
    return "local"


@pytest.fixture
def api_settings(dsn: str, tmp_path: Path, provider: str, fal: FalServer) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=SecretStr(dsn),
        api_key=SecretStr(API_KEY),
        cron_secret=SecretStr(CRON_SECRET),
        jwt_secret=SecretStr(JWT_SECRET),
        database_pool_size=8,
        fal_url=fal.url,
        fal_api_key=SecretStr(KEY) if provider == "fal" else None,
    )


with_fal = pytest.mark.parametrize("provider", ["fal"])


@pytest.fixture
async def pair(api: Api) -> Parents:
    return await add_pair(api)


async def rows(api: Api, table: str) -> int:
    return int(await api.services.database.fetchval(f"SELECT count(*) FROM {table}"))


async def logs(api: Api) -> list[dict[str, Any]]:
    return [
        dict(row)
        for row in await api.services.database.fetch("SELECT * FROM generation_logs ORDER BY created_at")
    ]


async def used(api: Api) -> int:
    return int(
        await api.services.database.fetchval(
            "SELECT coalesce(sum(count), 0) FROM user_daily_quotas WHERE kind = 'baby_generation'"
        )
    )


async def assert_nothing_is_left(api: Api) -> None:
    assert await rows(api, "babies") == 0
    assert await rows(api, "notifications") == 0
    assert await rows(api, "baby_requests") == 0
    assert await used(api) == 0
    assert await api.services.storage.keys("babies") == []


@pytest.mark.parametrize("provider", ["local", "fal"])
async def test_a_baby_of_the_users_match(api: Api, pair: Parents, provider: str) -> None:
    answer = await make_baby(api, pair.ada, pair.match)
    assert answer.status_code == 201, answer.text
    baby = answer.json()
    pictures = {"image_url", "feed_url", "thumbnail_url"}
    assert set(baby) == {"id", "match_id", "created_at", "parents", "mutual_connection"} | pictures
    assert baby["match_id"] == str(pair.match)
    assert baby["mutual_connection"] is None
    faces = sorted([pair.ada_face, pair.bea_face])
    assert [baby["parents"][side]["face_id"] for side in "ab"] == [str(face) for face in faces]
    assert {baby["parents"][side]["name"] for side in "ab"} == {"Ada", "Bea"}

    for name in pictures:
        picture = await api.client.get(baby[name])
        assert picture.headers["content-type"] == "image/jpeg"
        with Image.open(BytesIO(picture.content), formats=["JPEG"]) as image:
            image.load()
    assert (await api.client.get(baby["parents"]["a"]["image"])).status_code == 200

    (log,) = await logs(api)
    model = "fal-ai/flux/dev" if provider == "fal" else "opencv-blend-1"
    assert (log["provider"], log["model"], log["status"]) == (provider, model, "completed")
    assert (log["profile_id"], log["match_id"], str(log["baby_id"])) == (pair.ada.id, pair.match, baby["id"])
    assert (log["attempts"], log["error_message"]) == (1, None)
    assert log["duration_ms"] > 0
    assert await used(api) == 1


async def test_the_other_one_is_notified(api: Api, pair: Parents) -> None:
    baby = (await make_baby(api, pair.ada, pair.match)).json()
    (told,) = await api.services.database.fetch("SELECT * FROM notifications")
    assert (told["user_id"], told["type"], told["title"]) == (
        pair.bea.id,
        "baby_generated",
        "Baby Generated!",
    )
    assert told["message"] == "Ada has made a baby picture of your match."
    assert (str(told["related_id"]), told["related_type"]) == (baby["id"], "baby")


async def test_both_make_one_and_are_connected(api: Api, pair: Parents) -> None:
    first, second = await asyncio.gather(
        make_baby(api, pair.ada, pair.match), make_baby(api, pair.bea, pair.match)
    )
    assert {first.status_code, second.status_code} == {201}
    connections = [answer.json()["mutual_connection"] for answer in (first, second)]
    (opened,) = [connection for connection in connections if connection]
    assert set(opened) == {"id", "status", "created_at"}
    assert opened["status"] == "active"
    assert await rows(api, "mutual_connections") == 1
    types = await api.services.database.fetch("SELECT type, count(*) FROM notifications GROUP BY type")
    assert dict(types) == {"baby_generated": 2, "mutual_match": 2}
    assert await rows(api, "messages") == 1
    # Seen from the first baby, the connection is there by now.
    latest = await api.client.get(f"/api/baby?match_id={pair.match}", headers=pair.ada.headers)
    assert latest.json()["baby"]["mutual_connection"]["id"] == opened["id"]


async def test_a_blocked_user_causes_no_notification(api: Api, pair: Parents) -> None:
    await api.services.database.execute(
        """
        INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id, status, blocked_by)
        VALUES ($1, $2, $3, 'blocked', $1)
        """,
        pair.bea.id, pair.ada.id, pair.match,
    )  # fmt: skip
    assert (await make_baby(api, pair.ada, pair.match)).status_code == 201
    assert await rows(api, "notifications") == 0


async def test_only_of_the_users_matches(api: Api, pair: Parents) -> None:
    stranger = await api.member("Eve")
    answer = await make_baby(api, stranger, pair.match, "key")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await make_baby(api, pair.ada, uuid.uuid4(), "key")).status_code == 404
    assert (await api.client.post("/api/baby", json={"match_id": str(pair.match)})).status_code == 401
    await assert_nothing_is_left(api)
    assert await logs(api) == []


async def test_the_daily_limit(api: Api, pair: Parents) -> None:
    await set_limit(api.services.database, "baby_generation", 1)
    assert (await make_baby(api, pair.ada, pair.match)).status_code == 201
    answer = await make_baby(api, pair.ada, pair.match)
    assert answer.status_code == 429
    body = answer.json()
    assert (body["type"], body["limit"], body["current"]) == ("baby_generation", 1, 1)
    assert int(answer.headers["retry-after"]) > 0
    # Limits are per user, and no call was wasted.
    assert (await make_baby(api, pair.bea, pair.match)).status_code == 201
    assert len(await logs(api)) == 2


@with_fal
async def test_the_limit_holds_for_parallel_requests(api: Api, pair: Parents, fal: FalServer) -> None:
    """No more are stored, and no more paid for, than the limit allows."""
    await set_limit(api.services.database, "baby_generation", 3)
    fal.orders.extend(Reply(delay=0.3) for _ in range(20))
    answers = await asyncio.gather(*(make_baby(api, pair.ada, pair.match) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [429] * 17
    assert await rows(api, "babies") == await used(api) == len(fal.ordered) == 3
    assert len(await api.services.storage.keys("babies")) == 3 * 3


@with_fal
async def test_the_transaction_decides(api: Api, pair: Parents, fal: FalServer) -> None:
    """A limit that was lowered while the picture was made: what is made is thrown away."""
    loop = asyncio.get_running_loop()

    def lower() -> None:
        lowering = set_limit(api.services.database, "baby_generation", 0)
        asyncio.run_coroutine_threadsafe(lowering, loop).result(PATIENCE_S)

    fal.on_order = lower
    answer = await make_baby(api, pair.ada, pair.match, "key")
    assert answer.status_code == 429
    await assert_nothing_is_left(api)
    (log,) = await logs(api)
    assert (log["status"], log["baby_id"]) == ("completed", None)
    assert log["error_message"] == "made, but not stored: QuotaExceededError"


@with_fal
async def test_the_match_goes_while_the_picture_is_made(api: Api, pair: Parents, fal: FalServer) -> None:
    loop = asyncio.get_running_loop()
    delete = "DELETE FROM matches WHERE id = $1"
    fal.on_order = lambda: asyncio.run_coroutine_threadsafe(
        api.owner.execute(delete, pair.match), loop
    ).result(PATIENCE_S)
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 404
    await assert_nothing_is_left(api)


@with_fal
async def test_a_provider_that_is_down(
    api: Api, pair: Parents, fal: FalServer, caplog: pytest.LogCaptureFixture
) -> None:
    fal.orders.append(Reply(401, b'{"detail": "' + KEY.encode() + b'"}'))
    answer = await make_baby(api, pair.ada, pair.match, "key")
    assert (answer.status_code, answer.json()["code"]) == (502, "baby_provider")
    await assert_nothing_is_left(api)
    (log,) = await logs(api)
    assert (log["status"], log["error_message"], log["attempts"]) == ("failed", "fal answered 401", 1)
    assert log["duration_ms"] is not None
    assert KEY not in answer.text + caplog.text + str(log)
    # The key is free again, and nothing was counted.
    await set_limit(api.services.database, "baby_generation", 1)
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 201


@with_fal
async def test_attempts_are_logged(api: Api, pair: Parents, fal: FalServer) -> None:
    fal.orders.append(Reply(429, headers={"Retry-After": "0"}))
    assert (await make_baby(api, pair.ada, pair.match)).status_code == 201
    (log,) = await logs(api)
    assert (log["status"], log["attempts"]) == ("completed", 2)


async def test_a_photo_that_is_gone(api: Api, pair: Parents) -> None:
    for key in await api.services.storage.keys("faces"):
        await api.services.storage.delete(key)
    answer = await make_baby(api, pair.ada, pair.match)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    await assert_nothing_is_left(api)
    (log,) = await logs(api)
    assert log["status"] == "failed"


async def test_a_storage_that_fails_halfway(api: Api, pair: Parents, monkeypatch: pytest.MonkeyPatch) -> None:
    put = Storage.put

    async def no_thumbnail(self: Storage, key: str, data: bytes, kind: str) -> None:
        if "thumbnail" in key:
            raise StorageError("The picture store failed: it is full.")
        await put(self, key, data, kind)

    monkeypatch.setattr(Storage, "put", no_thumbnail)
    answer = await make_baby(api, pair.ada, pair.match)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage")
    await assert_nothing_is_left(api)


@with_fal
async def test_the_same_key_gives_the_same_baby(api: Api, pair: Parents, fal: FalServer) -> None:
    await set_limit(api.services.database, "baby_generation", 1)
    first = await make_baby(api, pair.ada, pair.match, "key")
    again = await make_baby(api, pair.ada, pair.match, "key")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert len(fal.ordered) == await rows(api, "babies") == await used(api) == 1
    # Each user has separate keys.
    other = await make_baby(api, pair.bea, pair.match, "key")
    assert other.status_code == 201
    assert other.json()["id"] != first.json()["id"]


async def test_a_key_is_for_one_match(api: Api, pair: Parents) -> None:
    other = await add_match(api, pair.ada_face, await add_face(api, pair.bea))
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 201
    answer = await make_baby(api, pair.ada, other, "key")
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await rows(api, "babies") == 1


@with_fal
async def test_parallel_requests_with_one_key_make_one_baby(api: Api, pair: Parents, fal: FalServer) -> None:
    go_on = threading.Event()

    def hold() -> None:
        go_on.wait(PATIENCE_S)

    fal.on_order = hold
    asked = [asyncio.create_task(make_baby(api, pair.ada, pair.match, "key")) for _ in range(10)]
    await until(lambda: sum(task.done() for task in asked) == 9)
    go_on.set()
    answers = await asyncio.gather(*asked)
    made = [answer for answer in answers if answer.status_code == 201]
    busy = [answer for answer in answers if answer.status_code == 409]
    assert len(made) == 1
    assert len(busy) == 9
    assert {answer.json()["code"] for answer in busy} == {"request_in_progress"}
    assert {answer.headers["retry-after"] for answer in busy} == {"5"}
    assert len(fal.ordered) == await rows(api, "babies") == 1
    again = await make_baby(api, pair.ada, pair.match, "key")
    assert again.json()["id"] == made[0].json()["id"]


async def test_a_crash_frees_key_quota_and_log_after_a_while(api: Api, pair: Parents) -> None:
    """What a process that died has left behind: a claim and a call in progress."""
    database = api.services.database
    await set_limit(database, "baby_generation", 1)
    claim = await api.services.db.babies.claim(pair.ada.id, "key", pair.match)
    log = await api.services.db.generation_logs.start(
        pair.ada.id, pair.match, provider="local", model="opencv-blend-1"
    )
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 409
    assert (await make_baby(api, pair.ada, pair.match)).status_code == 429
    later = GENERATION_LIFETIME + timedelta(seconds=1)
    await database.execute("UPDATE baby_requests SET claimed_until = claimed_until - $1::interval", later)
    await database.execute("UPDATE generation_logs SET created_at = created_at - $1::interval", later)
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 201
    first, second = await logs(api)
    assert (first["id"], first["status"]) == (log, "failed")
    assert first["error_message"] == "The process that made the call has ended."
    assert second["status"] == "completed"
    # The dead process's claim is worth nothing any more.
    assert isinstance(claim, Claim)
    await api.services.db.babies.release(claim)
    assert await rows(api, "baby_requests") == 1


async def test_a_clock_that_is_set_back_holds_up_no_baby(api: Api, pair: Parents) -> None:
    """As above, but the process died while the clock was ahead."""
    database = api.services.database
    await set_limit(database, "baby_generation", 1)
    await api.services.db.babies.claim(pair.ada.id, "key", pair.match)
    await api.services.db.generation_logs.start(
        pair.ada.id, pair.match, provider="local", model="opencv-blend-1"
    )
    await database.execute("UPDATE baby_requests SET claimed_until = claimed_until + interval '30 days'")
    await database.execute("UPDATE generation_logs SET created_at = created_at + interval '30 days'")
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 201


@with_fal
async def test_a_claim_that_was_taken_over_stores_nothing(api: Api, pair: Parents, fal: FalServer) -> None:
    """If two processes both believe they hold the key, the later claim wins: one baby."""
    database = api.services.database
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        fal.on_order = lambda: None
        reached.set()
        go_on.wait(PATIENCE_S)

    fal.on_order = hold
    slow = asyncio.create_task(make_baby(api, pair.ada, pair.match, "key"))
    assert await asyncio.to_thread(reached.wait, PATIENCE_S)
    await database.execute("UPDATE baby_requests SET claimed_until = now() - interval '1 second'")
    second = await make_baby(api, pair.ada, pair.match, "key")
    go_on.set()
    first = await slow
    assert (second.status_code, first.status_code) == (201, 409)
    assert await rows(api, "babies") == await used(api) == 1
    assert len(await api.services.storage.keys("babies")) == 3


async def test_a_key_is_forgotten_after_a_day(api: Api, pair: Parents) -> None:
    first = await make_baby(api, pair.ada, pair.match, "key")
    await make_baby(api, pair.ada, pair.match, "another")
    await api.services.database.execute(
        "UPDATE baby_requests SET created_at = now() - interval '24 hours 1 second'"
    )
    again = await make_baby(api, pair.ada, pair.match, "key")
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]
    assert await rows(api, "baby_requests") == 1


@with_fal
async def test_a_client_that_goes_away_finds_the_baby_later(api: Api, pair: Parents, fal: FalServer) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        go_on.wait(PATIENCE_S)

    fal.on_order = hold
    request = asyncio.create_task(make_baby(api, pair.ada, pair.match, "key"))
    assert await asyncio.to_thread(reached.wait, PATIENCE_S)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    go_on.set()
    # It waits for the picture in progress.
    await api.services.babies.close()
    answer = await make_baby(api, pair.ada, pair.match, "key")
    assert answer.status_code == 201
    assert len(fal.ordered) == 1


@with_fal
async def test_a_replica_finishes_the_picture_in_progress_before_it_ends(
    api: Api, pair: Parents, fal: FalServer
) -> None:
    reached = threading.Event()
    fal.on_order = reached.set
    fal.orders.append(Reply(delay=0.3))
    request = asyncio.create_task(make_baby(api, pair.ada, pair.match))
    assert await asyncio.to_thread(reached.wait, PATIENCE_S)
    await api.services.babies.close()
    assert (await request).status_code == 201


@pytest.mark.parametrize(
    "key",
    ["", "a" * 201, "a b", "a\tb", "schl\xfcssel", "\x7f"],
    ids=["empty", "long", "space", "tab", "latin", "del"],
)
async def test_a_key_out_of_bounds(api: Api, pair: Parents, key: str) -> None:
    headers = [
        (b"Authorization", pair.ada.headers["Authorization"].encode()),
        (b"Idempotency-Key", key.encode("latin-1")),
    ]
    answer = await api.client.post("/api/baby", json={"match_id": str(pair.match)}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"match_id": "x"}', '{"match_id": 7}', '{"a": 1}'])
async def test_a_body_out_of_bounds(api: Api, pair: Parents, body: str) -> None:
    headers = {**pair.ada.headers, "Content-Type": "application/json"}
    answer = await api.client.post("/api/baby", content=body, headers=headers)
    assert answer.status_code == 422


async def test_the_latest_of_the_users_match(api: Api, pair: Parents) -> None:
    async def latest(headers: dict[str, str], match: UUID) -> Any:
        answer = await api.client.get(f"/api/baby?match_id={match}", headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert await latest(pair.ada.headers, pair.match) == {"baby": None}
    await make_baby(api, pair.ada, pair.match)
    newest = (await make_baby(api, pair.ada, pair.match)).json()
    found = await latest(pair.ada.headers, pair.match)
    assert found["baby"]["id"] == newest["id"]
    assert await latest(pair.bea.headers, pair.match) == found
    stranger = await api.member("Eve")
    assert await latest(stranger.headers, pair.match) == {"baby": None}
    assert await latest(pair.ada.headers, uuid.uuid4()) == {"baby": None}
    assert (await api.client.get(f"/api/baby?match_id={pair.match}")).status_code == 401
    assert (await api.client.get("/api/baby", headers=pair.ada.headers)).status_code == 422


async def add_rows(api: Api, pair: Parents, count: int) -> list[str]:
    """Babies of one instant; their ids, as the list orders them."""
    found = await api.services.database.fetch(
        """
        INSERT INTO babies (match_id, generated_by_profile_id, image_url, created_at)
        SELECT $1, $2, 'babies/x.jpg', '2026-01-02 03:04:05+00' FROM generate_series(1, $3) RETURNING id
        """,
        pair.match, pair.ada.id, count,
    )  # fmt: skip
    return sorted((str(row["id"]) for row in found), reverse=True)


async def test_all_of_the_users_matches_in_stable_pages(api: Api, pair: Parents) -> None:
    ids = await add_rows(api, pair, 7)

    async def page(**params: object) -> httpx.Response:
        return await api.client.get("/api/baby/list", params=params, headers=pair.ada.headers)  # type: ignore[arg-type]

    everything = (await page()).json()
    assert [baby["id"] for baby in everything["babies"]] == ids
    assert (everything["total"], everything["next_cursor"]) == (7, None)

    seen: list[str] = []
    cursor: str | None = None
    while True:
        answer = (await page(limit=3, **({"cursor": cursor} if cursor else {}))).json()
        seen += [baby["id"] for baby in answer["babies"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
        # A newer one must not shift what follows.
        await api.services.database.execute(
            "INSERT INTO babies (match_id, generated_by_profile_id, image_url) VALUES ($1, $2, 'babies/y')",
            pair.match, pair.ada.id,
        )  # fmt: skip
    assert seen == ids
    theirs = (await api.client.get("/api/baby/list", headers=pair.bea.headers)).json()
    assert [baby["id"] for baby in theirs["babies"]][-7:] == ids
    stranger = await api.member("Eve")
    empty = await api.client.get("/api/baby/list", headers=stranger.headers)
    assert empty.json() == {"babies": [], "total": 0, "next_cursor": None}
    for limit in (0, 501, 10**30):
        assert (await page(limit=limit)).status_code == 422
    assert (await page(cursor="x")).status_code == 400


async def test_pictures_of_the_old_app_keep_their_address(api: Api, pair: Parents) -> None:
    await api.services.database.execute(
        "INSERT INTO babies (match_id, generated_by_profile_id, image_url) VALUES ($1, $2, $3)",
        pair.match, pair.ada.id, "https://fal.media/files/x.png",
    )  # fmt: skip
    answer = await api.client.get("/api/baby/list", headers=pair.ada.headers)
    assert answer.json()["babies"][0]["image_url"] == "https://fal.media/files/x.png"


async def test_deleting_a_face_leaves_nothing(api: Api, pair: Parents) -> None:
    assert (await make_baby(api, pair.ada, pair.match, "key")).status_code == 201
    answer = await api.client.delete(f"/api/faces/{pair.bea_face}", headers=pair.bea.headers)
    assert answer.status_code == 204
    for table in ("babies", "baby_requests", "notifications"):
        assert await rows(api, table) == 0, table
    assert await api.services.storage.keys("babies") == []
    (log,) = await logs(api)
    assert (log["status"], log["match_id"], log["baby_id"]) == ("completed", None, None)


async def test_the_provider_is_the_one_of_the_settings(api: Api) -> None:
    services = api.services

    def chosen(**changes: object) -> str:
        settings = api.services.settings.model_copy(update=changes)
        maker = open_baby_maker(
            settings, open_storage(settings), services.faces, services.db, LazyDecoder(settings)
        )
        return maker._provider.name

    key = SecretStr(KEY)
    assert chosen(baby_provider="auto") == "local"
    assert chosen(baby_provider="auto", fal_api_key=key) == "fal"
    assert chosen(baby_provider="local", fal_api_key=key) == "local"
    assert chosen(baby_provider="fal", fal_api_key=key) == "fal"


async def test_a_notification_leads_both_to_the_baby(api: Api, pair: Parents) -> None:
    made = (await make_baby(api, pair.ada, pair.match)).json()
    listed = await api.client.get("/api/notifications", headers=pair.bea.headers)
    [told] = listed.json()["notifications"]
    assert (told["related_type"], told["related_id"]) == ("baby", made["id"])
    for user in (pair.bea, pair.ada):
        found = await api.client.get(f"/api/baby/{told['related_id']}", headers=user.headers)
        assert found.status_code == 200, found.text
        assert (found.json()["id"], found.json()["match_id"]) == (made["id"], str(pair.match))
        assert (await api.client.get(found.json()["image_url"])).status_code == 200
    stranger = await api.member("Eve")
    for user, baby in ((stranger, made["id"]), (pair.ada, uuid.uuid4())):
        answer = await api.client.get(f"/api/baby/{baby}", headers=user.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await api.client.get(f"/api/baby/{made['id']}")).status_code == 401


async def test_a_blocked_user_reaches_nobody_by_a_baby(api: Api, pair: Parents) -> None:
    first = (await make_baby(api, pair.ada, pair.match)).json()["id"]
    own = (await make_baby(api, pair.bea, pair.match)).json()
    await api.services.database.execute(
        "UPDATE mutual_connections SET status = 'blocked', blocked_by = $1", pair.bea.id
    )
    made = (await make_baby(api, pair.ada, pair.match)).json()["id"]

    async def seen(headers: dict[str, str]) -> tuple[list[str], str, list[int]]:
        listed = (await api.client.get("/api/baby/list", headers=headers)).json()
        assert listed["total"] == len(listed["babies"])
        latest = await api.client.get(f"/api/baby?match_id={pair.match}", headers=headers)
        answers = [
            await api.client.get(f"/api/baby/{baby}", headers=headers) for baby in (first, own["id"], made)
        ]
        return (
            [baby["id"] for baby in listed["babies"]],
            latest.json()["baby"]["id"],
            [answer.status_code for answer in answers],
        )

    async def in_chat(headers: dict[str, str]) -> str | None:
        listed = (await api.client.get("/api/connections?status=all", headers=headers)).json()
        shown: str | None = listed["connections"][0]["baby_image"]
        return shown

    assert await seen(pair.bea.headers) == ([own["id"]], own["id"], [404, 200, 404])
    assert await seen(pair.ada.headers) == ([made, first], made, [200, 404, 200])
    assert await in_chat(pair.bea.headers) is None
    assert made in (await in_chat(pair.ada.headers) or "")
    await api.services.database.execute("UPDATE mutual_connections SET status = 'active', blocked_by = NULL")
    assert (await seen(pair.bea.headers))[0] == [made, own["id"], first]
    assert made in (await in_chat(pair.bea.headers) or "")
