"""Ingestions that operators start by the API. The job itself is tested in `tests/batch`."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from db.ingestions import CONTINUED_AFTER, MOST_CONTINUED, MOST_RECEIVING, NewRefusal
from ops.storage.sweep import sweep
from semblance.errors import ForbiddenError, NotFoundError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from serve_app.ingestions import IngestionJob, allowed_source, continue_dead, read_refused
from tests.support.api import Api
from tests.support.console import ConsoleUser, sign_in
from tests.support.photos import BIDEN

PATH = "/api/admin/ingestions"


@pytest.fixture
def api_settings(api_settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "pictures").mkdir()
    roots = (str(tmp_path / "pictures"),)
    return api_settings.model_copy(update={"ingest_roots": roots, "max_ingestion_bytes": 1000})


async def create(user: ConsoleUser) -> str:
    answer = await user.call("POST", PATH, json={"category": "actors"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "receiving"
    return str(answer.json()["id"])


async def put(user: ConsoleUser, ingestion: str, number: int, data: bytes, **query: Any) -> tuple[int, str]:
    answer = await user.call("PUT", f"{PATH}/{ingestion}/files/{number}", content=data, params=query)
    return answer.status_code, answer.text


async def test_a_file_of_json_is_a_file(api: Api) -> None:
    """It is not read here, so that nothing but its size is limited."""
    user = await sign_in(api)
    path = f"{PATH}/{await create(user)}/files/0"
    for values, status in ((400, 204), (30_000, 400)):
        answer = await user.call("PUT", path, json=[0] * values, params={"name": "metadata.json"})
        assert answer.status_code == status, answer.text
    assert "1,000 bytes" in answer.json()["error"]


async def test_files_are_uploaded_replaced_and_limited(api: Api) -> None:
    user = await sign_in(api)
    ingestion = await create(user)
    assert (await user.call("POST", f"{PATH}/{ingestion}/start")).status_code == 409
    assert (await put(user, ingestion, 0, b"x" * 500, name="../a.jpg"))[0] == 204
    assert (await put(user, ingestion, 0, b"y" * 600, name="a.jpg"))[0] == 204
    status, text = await put(user, ingestion, 1, b"x" * 500, name="b.jpg")
    assert (status, "1,000 bytes" in text) == (400, True)
    assert (await put(user, ingestion, 1, b"x" * 100, name="c.zip", part=1, parts=2))[0] == 204
    refused = await user.call("POST", f"{PATH}/{ingestion}/start")
    assert (refused.status_code, "c.zip is not complete" in refused.text) == (409, True)
    assert (await put(user, ingestion, 1, b"x" * 100, name="c.zip", part=0, parts=2))[0] == 204

    answer = (await user.call("GET", f"{PATH}/{ingestion}")).json()["ingestion"]
    assert (answer["files"], answer["size"], answer["category"]) == (2, 800, "actors")
    # What was replaced or refused goes like other pictures without a row.
    await api.services.db.object_deletions.drain(api.services.storage)
    keys = await api.services.storage.keys(f"staging/{ingestion}")
    assert len(keys) == 3
    # The sweep knows them, and removes what has no row.
    await api.services.storage.put(f"staging/{ingestion}/orphan", b"x", "image/jpeg")
    await sweep(
        api.owner,
        api.services.storage,
        grace=timedelta(0),
        dry_run=False,
        force=False,
        on_progress=lambda _, __: None,
        on_dangling=lambda _: None,
    )
    assert await api.services.storage.keys(f"staging/{ingestion}") == keys
    # Without Ray it cannot start, and stays as it is.
    assert (await user.call("POST", f"{PATH}/{ingestion}/start")).status_code == 503
    assert (await user.call("GET", f"{PATH}/{ingestion}")).json()["ingestion"]["state"] == "receiving"

    assert (await user.call("DELETE", f"{PATH}/{ingestion}")).status_code == 204
    assert (await user.call("GET", f"{PATH}/{ingestion}")).status_code == 404
    await api.services.db.object_deletions.drain(api.services.storage)
    assert await api.services.storage.keys("staging") == []
    log = (await user.call("GET", "/api/admin/audit?action=ingestion")).json()["entries"]
    assert [entry["action"] for entry in log] == ["ingestion.discard", "ingestion.create"]


@pytest.mark.parametrize(
    ("number", "data", "query", "status"),
    [
        (0, b"x", {"name": ".."}, 400),
        (-1, b"x", {"name": "a.jpg"}, 400),
        (0, b"", {"name": "a.jpg"}, 400),
        (0, b"x", {"name": "a.jpg", "parts": 2}, 400),
        (0, b"x", {"name": "a.zip", "part": 2, "parts": 2}, 400),
        (0, b"x", {}, 422),
    ],
)
async def test_odd_files_are_refused(
    api: Api, number: int, data: bytes, query: dict[str, Any], status: int
) -> None:
    user = await sign_in(api)
    ingestion = await create(user)
    assert (await put(user, ingestion, number, data, **query))[0] == status
    assert (await put(user, str(uuid.uuid4()), 0, b"x", name="a.jpg"))[0] == 404
    assert await api.services.storage.keys("staging") == []


# Those of the future come from before the clock was set back.
@pytest.mark.parametrize("age", [timedelta(hours=25), timedelta(days=-30)])
async def test_abandoned_uploads_make_room(api: Api, age: timedelta) -> None:
    user = await sign_in(api)
    ingestion = await create(user)
    await api.owner.execute(
        "INSERT INTO ingestions (started_by) SELECT 'x' FROM generate_series(2, $1)", MOST_RECEIVING
    )
    assert (await put(user, ingestion, 0, b"x", name="a.jpg"))[0] == 204
    assert (await user.call("POST", PATH, json={})).status_code == 409
    await api.owner.execute("UPDATE ingestions SET created_at = now() - $1::interval", age)
    await create(user)
    assert len((await user.call("GET", PATH)).json()["ingestions"]) == 1
    await api.services.db.object_deletions.drain(api.services.storage)
    assert await api.services.storage.keys("staging") == []


async def test_only_folders_that_the_settings_name_are_read(api: Api, tmp_path: Path) -> None:
    user = await sign_in(api)
    assert (await user.call("GET", PATH)).json()["roots"] == [str(tmp_path / "pictures")]
    answer = await user.call("POST", PATH, json={"source": "/etc"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    # Allowed, but there is no Ray: nothing is left of it.
    answer = await user.call("POST", PATH, json={"source": str(tmp_path / "pictures")})
    assert answer.status_code == 503
    assert (await user.call("GET", PATH)).json()["ingestions"] == []
    assert (await user.call("POST", PATH, json={"source": "pictures"})).status_code == 422


@pytest.mark.parametrize(
    ("job", "status"),
    [
        ({"kind": "ingest", "source": "/etc"}, 403),
        ({"kind": "ingest", "source": "s3://bucket/faces"}, 403),
        ({"kind": "import_qdrant", "url": "/etc"}, 403),
        ({"kind": "ingest", "source": "{root}/inside/.."}, 503),
        ({"kind": "import_qdrant", "url": "{root}"}, 503),
        ({"kind": "import_qdrant", "url": "http://qdrant:6333"}, 503),
    ],
)
async def test_ray_jobs_read_the_same_folders(
    api: Api, tmp_path: Path, job: dict[str, str], status: int
) -> None:
    """What is allowed is only refused because there is no Ray."""
    user = await sign_in(api)
    body = {name: value.format(root=tmp_path / "pictures") for name, value in job.items()}
    answer = await user.call("POST", "/api/admin/ray-jobs", json=body)
    assert answer.status_code == status, answer.text
    if status == 403:
        assert f"{tmp_path / 'pictures'} and below (SEMBLANCE_INGEST_ROOTS)" in answer.json()["error"]


def test_a_source_is_allowed_where_its_links_end(tmp_path: Path) -> None:
    root, outside = tmp_path / "pictures", tmp_path / "pictures-of-others"
    (root / "inside").mkdir(parents=True)
    outside.mkdir()
    (root / "link").symlink_to(outside)
    roots = [str(root), "s3://bucket/gallery/"]
    assert allowed_source(str(root), roots) == str(root)
    assert allowed_source(f"{root}/inside/../inside", roots) == str(root / "inside")
    assert allowed_source("s3://bucket/gallery/actors/", roots) == "s3://bucket/gallery/actors"
    for refused in (str(outside), str(root / "link"), f"{root}/../x", "s3://bucket/gallery-2", "s3://bucket",
                    "s3://bucket/gallery/../x"):  # fmt: skip
        with pytest.raises(ForbiddenError):
            allowed_source(refused, roots)
    with pytest.raises(ForbiddenError, match="INGEST_ROOTS"):
        allowed_source(str(root), [])


async def test_a_picture_outside_of_the_allowed_folders_is_not_shown(tmp_path: Path) -> None:
    storage = open_storage(Settings(home=tmp_path / "home"))
    root = tmp_path / "pictures"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"abc")
    (root / "link.jpg").symlink_to("/etc/hostname")
    assert await read_refused(str(root / "a.jpg"), storage, [str(root)], 3) == b"abc"
    for location, limit in [("a.jpg", 2), ("link.jpg", 9999), ("gone.jpg", 9), ("../x", 9), ("", 9)]:
        with pytest.raises(NotFoundError):
            await read_refused(f"{root}/{location}", storage, [str(root)], limit)


async def refused(api: Api, ingestion: str, outcome: str, key: str | None) -> str:
    """A picture that the job did not take."""
    item = {"location": f"staged:{key}", "name": "Rose", "category": "actors"}
    refusal = NewRefusal(uuid.uuid4(), "rose.jpg", None if key is None else item, outcome, "so it is")
    await api.services.db.ingestions.record(
        uuid.UUID(ingestion), done=None, taken=0, added=0, present=None, refused=[refusal], settled=[]
    )
    return str(refusal.id)


async def test_refused_pictures_are_shown_and_decided(api: Api) -> None:
    user = await sign_in(api)
    ingestion = await create(user)
    await api.services.storage.put("staging/a/1", BIDEN.read_bytes(), "image/jpeg")
    first = await refused(api, ingestion, "several_faces", "staging/a/1")
    second = await refused(api, ingestion, "invalid_metadata", None)

    answer = (await user.call("GET", f"{PATH}/{ingestion}")).json()
    assert answer["reasons"] == {"invalid_metadata": 1, "several_faces": 1}
    listed = (await user.call("GET", f"{PATH}/{ingestion}/refusals?limit=1")).json()
    [entry] = listed["refusals"]
    assert (entry["id"], entry["reason"], entry["name"], entry["decisions"]) == (
        first,
        "so it is",
        "Rose",
        ["largest", "discard"],
    )
    rest = await user.call("GET", f"{PATH}/{ingestion}/refusals?cursor={listed['next_cursor']}")
    assert [each["id"] for each in rest.json()["refusals"]] == [second]
    only = await user.call("GET", f"{PATH}/{ingestion}/refusals?outcome=several_faces")
    assert [each["id"] for each in only.json()["refusals"]] == [first]

    picture = await user.call("GET", f"{PATH}/{ingestion}/refusals/{first}/picture")
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert picture.content.startswith(b"\xff\xd8")
    assert (await user.call("GET", f"{PATH}/{ingestion}/refusals/{second}/picture")).status_code == 404

    decisions = f"{PATH}/{ingestion}/decisions"
    taken = await user.call("POST", decisions, json={"decision": "largest", "outcome": "several_faces"})
    assert (taken.json()["decided"], taken.json()["ingestion"]["waiting"]) == (1, 1)
    unsuitable = await user.call("POST", decisions, json={"decision": "anyway", "ids": [second]})
    assert unsuitable.json()["decided"] == 0
    discarded = await user.call("POST", decisions, json={"decision": "discard", "ids": [second]})
    assert discarded.json()["ingestion"]["refused"] == 1
    log = (await user.call("GET", "/api/admin/audit?action=ingestion.decide")).json()["entries"]
    assert [entry["after"]["decision"] for entry in log] == ["discard", "largest"]


async def test_what_died_is_continued_at_growing_pauses_and_not_for_ever(api: Api) -> None:
    user = await sign_in(api)
    ingestion = uuid.UUID(await create(user))
    ingestions, rows = api.services.db.ingestions, api.services.db.ray_jobs

    async def job(status: str, ago: timedelta, by: str = "service") -> None:
        """The next job on it, which ended so."""
        job_id = uuid.uuid4()
        async with api.services.database.transaction() as connection:
            arguments = ["--report=x", *IngestionJob(ingestion).arguments()]
            await rows.add(connection, job_id, "ingest", arguments, started_by=by)
            await ingestions.claim(connection, ingestion, job_id)
        await api.owner.execute(
            "UPDATE ray_jobs SET status = $2, ended_at = now() - $3::interval WHERE id = $1",
            *(job_id, status, ago),
        )

    assert await ingestions.to_continue() == []  # its files arrive
    await job("running", timedelta(0), "admin:a")
    await api.owner.execute("UPDATE ray_jobs SET ended_at = NULL")
    assert await ingestions.to_continue() == []
    await api.owner.execute("UPDATE ray_jobs SET status = 'stopped', ended_at = now() - interval '1 hour'")
    assert await ingestions.to_continue() == []
    await job("failed", CONTINUED_AFTER / 2, "admin:a")
    assert await ingestions.to_continue() == []
    pause = CONTINUED_AFTER
    for _ in range(MOST_CONTINUED):
        await api.owner.execute("UPDATE ray_jobs SET ended_at = now() - $1::interval", 0.9 * pause)
        assert await ingestions.to_continue() == []
        await api.owner.execute("UPDATE ray_jobs SET ended_at = now() - $1::interval", 1.1 * pause)
        assert await ingestions.to_continue() == [ingestion]
        await job("failed", timedelta(0))
        pause *= 4
    await api.owner.execute("UPDATE ray_jobs SET ended_at = now() - interval '10 hours'")
    assert await ingestions.to_continue() == []
    # A day later there is a new chance, also for decisions that no job could carry out; and when the clock
    # was set back since.
    move = "UPDATE ray_jobs SET created_at = created_at + $1, ended_at = ended_at + $1"
    await api.owner.execute(move, timedelta(days=30))
    assert await ingestions.to_continue() == [ingestion]
    await api.owner.execute(move, timedelta(days=-30))
    await api.owner.execute("UPDATE ray_jobs SET created_at = created_at - interval '25 hours'")
    assert await ingestions.to_continue() == [ingestion]
    await ingestions.finish(ingestion)
    assert await ingestions.to_continue() == []
    await refused(api, str(ingestion), "several_faces", "staging/a/1")
    await ingestions.decide(ingestion, "largest", None, "several_faces")
    assert await ingestions.to_continue() == [ingestion]
    # Without Ray it waits, and says so.
    await continue_dead(ingestions, api.services.ray_jobs)
    assert await ingestions.to_continue() == [ingestion]


async def test_only_operators_ingest(api: Api) -> None:
    assert (await api.client.get(PATH)).status_code == 401
    assert (await api.client.post(PATH, json={}, headers=api.user().headers)).status_code == 403
