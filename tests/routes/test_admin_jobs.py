"""The queue of match jobs and Ray jobs, as operators see and change them."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from semblance.redaction import redacted
from serve_app import ray_jobs
from serve_app.ray_jobs import MOST_OPEN
from tests.support.api import Api, User
from tests.support.rows_scored import add_faces
from tests.support.waiting import wait_until

PATH = "/api/admin/jobs"


@pytest.fixture
async def admin(api: Api) -> User:
    return await api.member("Root", role="admin")


async def get(api: Api, user: User, path: str) -> Any:
    answer = await api.client.get(path, headers=user.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(api: Api, user: User, path: str, body: object = None) -> Any:
    answer = await api.client.post(path, headers=user.headers, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def fail(api: Api, jobs: int) -> list[str]:
    """So many failed jobs and no other; their ids, the latest first."""
    faces = await add_faces(api.owner, jobs)
    await api.owner.execute("DELETE FROM match_jobs")
    rows = await api.owner.fetch(
        """
        INSERT INTO match_jobs (face_id, user_id, status, attempts, error_message, created_at, completed_at)
        SELECT id, profile_id, 'failed', 3, 'The photo is gone.', now() - number * interval '1 s', now()
        FROM unnest($1::uuid[]) WITH ORDINALITY AS face (face_id, number)
        JOIN faces ON id = face_id
        RETURNING id, created_at
        """,
        faces,
    )
    return [str(row["id"]) for row in sorted(rows, key=lambda row: row["created_at"], reverse=True)]


async def test_failed_jobs_come_page_by_page_with_photo_and_reason(api: Api, admin: User) -> None:
    ids = await fail(api, 3)
    first = await get(api, admin, f"{PATH}?limit=2")
    second = await get(api, admin, f"{PATH}?limit=2&cursor={first['next_cursor']}")
    assert [job["id"] for page in (first, second) for job in page["jobs"]] == ids
    assert second["next_cursor"] is None
    job = first["jobs"][0]
    assert job["error"] == "The photo is gone."
    assert job["picture_url"].startswith("http://api/")
    assert (await get(api, admin, f"{PATH}?status=completed"))["jobs"] == []
    queue = await get(api, admin, f"{PATH}/queue")
    assert (queue["paused"], queue["completed_last_hour"], queue["failed_last_hour"]) == (False, 0, 3)
    assert queue["statistics"]["failed"]["count"] == 3


async def test_failed_jobs_return_to_the_queue(api: Api, admin: User) -> None:
    ids = await fail(api, 3)
    assert await post(api, admin, f"{PATH}/retry", {"ids": [ids[1], str(uuid.uuid4())]}) == {"retried": 1}
    [waiting] = (await get(api, admin, f"{PATH}?status=pending"))["jobs"]
    assert (waiting["id"], waiting["attempts"], waiting["error"]) == (ids[1], 0, None)
    assert await post(api, admin, f"{PATH}/retry-all") == {"retried": 2}
    records = await api.owner.fetch(
        "SELECT target, after FROM audit_log WHERE action = 'job.retry' ORDER BY at"
    )
    assert [row["target"] for row in records] == [ids[1], "match_jobs"]
    assert set(records[1]["after"]["ids"]) == {ids[0], ids[2]}


async def test_a_paused_queue_keeps_its_jobs_from_every_worker(api: Api, admin: User) -> None:
    await fail(api, 1)
    await post(api, admin, f"{PATH}/retry-all")
    await post(api, admin, f"{PATH}/pause")
    assert (await get(api, admin, f"{PATH}/queue"))["paused"]
    assert await api.services.matcher.process(10) == []
    jobs = api.services.db.jobs
    assert (await jobs.seconds_to_next(), await jobs.pending(), await jobs.workable()) == (None, 1, 0)
    await post(api, admin, f"{PATH}/resume")
    await post(api, admin, f"{PATH}/resume")
    assert await jobs.workable() == 1
    assert len(await api.services.matcher.process(10)) == 1
    actions = await api.owner.fetch(
        "SELECT action FROM audit_log WHERE action LIKE 'job\\_queue.%' ORDER BY at"
    )
    assert [row["action"] for row in actions] == ["job_queue.pause", "job_queue.resume"]


async def test_without_ray_its_jobs_are_refused_in_a_sentence(api: Api, admin: User) -> None:
    answer = await api.client.post(
        "/api/admin/ray-jobs", headers=admin.headers, json={"kind": "rematch", "dry_run": True}
    )
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "`semblance up`" in answer.json()["error"]
    listed = await get(api, admin, "/api/admin/ray-jobs")
    assert (listed["jobs"], listed["dashboard_url"]) == ([], None)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "shell", "command": "id"},
        {"kind": "ingest", "source": "relative/folder"},
        {"kind": "ingest", "source": "/data\nid"},
        {"kind": "ingest", "source": "/data", "report": "/etc/passwd"},
        {"kind": "import_qdrant", "url": "http://user:password@qdrant"},
        {"kind": "reembed", "pack": "open", "switch": True},
    ],
)
async def test_options_that_no_job_has_are_refused(api: Api, admin: User, body: object) -> None:
    answer = await api.client.post("/api/admin/ray-jobs", headers=admin.headers, json=body)
    assert answer.status_code == 422, answer.text


async def test_users_may_not_see_jobs_of_others(api: Api) -> None:
    user = await api.member("Ada")
    for path in (PATH, f"{PATH}/queue", "/api/admin/ray-jobs", "/api/admin/matching/scores"):
        assert (await api.client.get(path, headers=user.headers)).status_code == 403


async def test_a_job_is_shown_with_its_report_although_ray_does_not_answer(api: Api, admin: User) -> None:
    job_id = uuid.uuid4()
    await api.owner.execute(
        """
        INSERT INTO ray_jobs (id, kind, arguments, started_by)
        VALUES ($1, 'ingest', '{--,/data}', 'service')
        """,
        job_id,
    )
    reports = api.services.settings.home.absolute() / "reports"
    reports.mkdir(parents=True)
    (reports / f"{job_id}.jsonl").write_text('{"n": 1}\n{"n": 2}\n{"half')
    path = f"/api/admin/ray-jobs/{job_id}"
    first = await get(api, admin, f"{path}/report?limit=1")
    assert first["lines"] == [{"n": 1}]
    second = await get(api, admin, f"{path}/report?offset={first['next_offset']}")
    assert second == {"lines": [{"n": 2}], "next_offset": None}
    job = await get(api, admin, path)
    assert (job["status"], job["arguments"]) == ("pending", ["--", "/data"])
    listed = await get(api, admin, "/api/admin/ray-jobs")
    assert "without Ray" in listed["problem"]


async def test_only_so_many_jobs_are_open_at_once(api: Api, admin: User) -> None:
    body = {"kind": "rematch"}
    statuses = []
    for _ in range(2):
        answer = await api.client.post("/api/admin/ray-jobs", json=body, headers=admin.headers)
        statuses.append(answer.status_code)
        await api.owner.execute(
            "INSERT INTO ray_jobs (id, kind, arguments, started_by)"
            " SELECT gen_random_uuid(), 'rematch', '{}', 'service' FROM generate_series(1, $1)",
            MOST_OPEN,
        )
    # Without Ray, a job that might start is refused for another reason.
    assert statuses == [503, 409]
    assert f"{MOST_OPEN} Ray jobs have not ended yet" in answer.text


async def test_a_job_that_rays_own_command_submitted_is_asked_for_by_rays_id(
    api: Api, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that Ray does not know is lost when it has been silent for a minute, not before."""
    await api.owner.execute(
        """
        INSERT INTO ray_jobs (id, submission_id, kind, arguments, started_by, status, created_at, heard_at)
        SELECT gen_random_uuid(), submission_id, 'rematch', '{}', 'service', 'running',
               now() - interval '1 h', now() - interval '1 s' * silence
        FROM (VALUES ('crashed', 1), ('silent', 61), ('ahead', -61), ('elsewhere', 50))
            AS job (submission_id, silence)
        """
    )
    known = SimpleNamespace(submission_id="crashed", status=JobStatus.FAILED, message="", driver_exit_code=-9)
    ray_client = SimpleNamespace(list_jobs=lambda: [known], get_address=lambda: "http://ray")
    monkeypatch.setattr(ray_jobs, "_client", lambda: ray_client)
    jobs = {job["submission_id"]: job for job in (await get(api, admin, "/api/admin/ray-jobs"))["jobs"]}
    statuses = {name: job["status"] for name, job in jobs.items()}
    # The clock was ahead when the third one was last heard.
    assert statuses == {"crashed": "failed", "silent": "failed", "ahead": "failed", "elsewhere": "running"}
    assert "its log says why" in jobs["crashed"]["message"]
    assert "Ray was restarted" in jobs["silent"]["message"]
    stop = f"/api/admin/ray-jobs/{jobs['elsewhere']['id']}/stop"
    answer = await api.client.post(stop, headers=admin.headers)
    assert (answer.status_code, "another cluster" in answer.json()["error"]) == (404, True)


def test_logs_show_no_secrets() -> None:
    text = "postgresql://app:hunter2@db/x api_key=abc PASSWORD: 'x1' Bearer e.y.z done 3 of 4"
    assert redacted(text) == (
        "postgresql://[redacted]@db/x api_key=[redacted] PASSWORD: '[redacted]' Bearer [redacted] done 3 of 4"
    )


async def test_operators_are_told_when_the_queue_has_moved(api: Api, admin: User) -> None:
    await fail(api, 3)
    await post(api, admin, f"{PATH}/retry-all")
    told = "SELECT count(*) FROM events WHERE type = 'admin' AND payload ->> 'kind' = 'jobs'"
    before = await api.owner.fetchval(told)
    assert len(await api.services.matcher.process(10)) == 3
    # Nobody waits for it, so it comes after the jobs.
    await wait_until(api.owner, told.replace("count(*)", "count(*) > $1"), before)
    assert await api.owner.fetchval(told) == before + 1
