"""Match jobs over HTTP: the user's own, all of them for admins, and the cron call."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.api import CRON_SECRET, Api, User
from tests.support.rows_matching import add_face

CRON = {"Authorization": f"Bearer {CRON_SECRET}"}


async def upload(api: Api, user: User, **columns: object) -> UUID:
    """A face of the user, stored; returns its job."""
    face = await add_face(api.services.database, user.id, **columns)
    job: UUID = await api.services.database.fetchval("SELECT id FROM match_jobs WHERE face_id = $1", face)
    return job


async def process(api: Api, **query: Any) -> Any:
    answer = await api.client.get("/api/cron/process-jobs", params=query, headers=CRON)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_cron_drains_the_queue_up_to_the_limit(api: Api) -> None:
    ada, bob = await api.member("ada"), await api.member("bob", gender="male")
    jobs = [await upload(api, ada), await upload(api, bob), await upload(api, bob)]
    first = await process(api, limit=2)
    assert first["processed"] == 2
    assert {result["job_id"] for result in first["results"]} == {str(job) for job in jobs[:2]}
    second = await process(api)
    assert second == {
        "processed": 1,
        "results": [
            {
                "job_id": str(jobs[2]),
                "status": "completed",
                "user_matches": 1,
                "celebrity_matches": 0,
                "error": None,
            }
        ],
    }
    assert await process(api) == {"processed": 0, "results": []}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_the_cron_needs_its_secret(api: Api, headers: dict[str, str]) -> None:
    answer = await api.client.get("/api/cron/process-jobs", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("limit", ["0", "1001", "x", "9" * 40])
async def test_a_limit_out_of_bounds_is_refused(api: Api, limit: str) -> None:
    answer = await api.client.get("/api/cron/process-jobs", params={"limit": limit}, headers=CRON)
    assert answer.status_code == 422


async def test_a_job_shows_its_owner_its_progress(api: Api) -> None:
    ada = await api.member("ada")
    job = await upload(api, ada)
    answer = await api.client.get(f"/api/jobs/{job}", headers=ada.headers)
    assert answer.status_code == 200, answer.text
    waiting = answer.json()
    assert (waiting["status"], waiting["attempts"], waiting["started_at"]) == ("pending", 0, None)
    assert waiting["counts"] == {"user_matches": None, "celebrity_matches": None}
    await process(api)
    done = (await api.client.get(f"/api/jobs/{job}", headers=ada.headers)).json()
    assert (done["status"], done["attempts"], done["error"]) == ("completed", 1, None)
    assert done["counts"] == {"user_matches": 0, "celebrity_matches": 0}
    assert done["created_at"] <= done["started_at"] <= done["completed_at"]


async def test_a_failed_job_says_why(api: Api) -> None:
    ada = await api.member("ada")
    job = await upload(api, ada, embedding=None, pack_digest=None, image_path="faces/nowhere.jpg")
    await process(api)
    failed = (await api.client.get(f"/api/jobs/{job}", headers=ada.headers)).json()
    assert (failed["status"], failed["attempts"]) == ("failed", 1)
    assert failed["error"] == "The photo of this face is not in the storage."


async def test_a_job_is_visible_to_its_owner_only(api: Api) -> None:
    ada, eve = await api.member("ada"), await api.member("eve", role="admin")
    job = await upload(api, ada)
    for user, identity in ((eve, job), (ada, uuid4())):
        answer = await api.client.get(f"/api/jobs/{identity}", headers=user.headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await api.client.get(f"/api/jobs/{job}")).status_code == 401


async def test_admins_see_the_queue_at_a_glance(api: Api) -> None:
    ada, root = await api.member("ada", school="a"), await api.member("root", role="admin")
    empty = (await api.client.get("/api/admin/jobs/stats", headers=root.headers)).json()
    assert empty["pending"] == {"count": 0, "oldest": None}
    assert (empty["average_seconds"], empty["failures"]) == (None, [])
    await upload(api, ada)
    for name in ("x", "y"):
        await upload(api, ada, embedding=None, pack_digest=None, image_path=f"faces/{name}.jpg")
    await process(api)
    await upload(api, ada)
    answer = await api.client.get("/api/admin/jobs/stats", headers=root.headers)
    assert answer.status_code == 200, answer.text
    stats = answer.json()
    assert {name: stats[name]["count"] for name in ("pending", "processing", "completed", "failed")} == {
        "pending": 1,
        "processing": 0,
        "completed": 1,
        "failed": 2,
    }
    assert stats["pending"]["oldest"] is not None
    assert 0 <= stats["average_seconds"] <= stats["average_total_seconds"]
    ((message, count),) = [(failure["message"], failure["count"]) for failure in stats["failures"]]
    assert (message, count) == ("The photo of this face is not in the storage.", 2)
    assert (await api.client.get("/api/admin/jobs/stats", headers=ada.headers)).status_code == 403
