"""Ray jobs that an operator starts through the API of a running stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.support.photos import BIDEN
from tests.support.service import INGEST_ROOT, Service
from tests.support.waiting import wait_for

pytestmark = pytest.mark.ray

PATH = "/api/admin/ray-jobs"
ENDED = {"succeeded", "failed", "stopped"}


@pytest.fixture
def operator(service: Service) -> Iterator[httpx.Client]:
    """A client with an admin's access token."""
    email = "operator@jobs.edu"
    token = service.run("token", "create", "--email", email).strip()
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=service.status["url"], headers=headers, timeout=60) as client:
        client.get("/api/auth/me")
        service.run("admins", "add", email)
        yield client


def start(operator: httpx.Client, body: dict[str, Any]) -> str:
    answer = operator.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def seen(operator: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = operator.get(PATH).json()
    assert answer["problem"] is None
    found: dict[str, Any] = next(job for job in answer["jobs"] if job["id"] == job_id)
    return found


def test_jobs_are_started_watched_and_stopped(service: Service, operator: httpx.Client) -> None:
    rematch = start(operator, {"kind": "rematch", "dry_run": True})
    refused = start(operator, {"kind": "reembed", "pack": "nowhere"})
    stopped = start(operator, {"kind": "ingest", "source": INGEST_ROOT, "dry_run": True})
    answer = operator.post(f"{PATH}/{stopped}/stop")
    assert answer.status_code == 200, answer.text
    wait_for(lambda: all(seen(operator, job)["status"] in ENDED for job in (rematch, refused, stopped)))
    assert (seen(operator, rematch)["status"], seen(operator, stopped)["status"]) == ("succeeded", "stopped")
    assert "nowhere" in seen(operator, refused)["message"]
    assert "would be added" in operator.get(f"{PATH}/{rematch}/log").json()["text"]
    changes = operator.get("/api/admin/audit", params={"action": "ray_job"}).json()["entries"]
    begun = [change["target"] for change in changes if change["action"] == "ray_job.start"]
    assert {rematch, refused, stopped} < set(begun)
    assert [change["target"] for change in changes if change["action"] == "ray_job.stop"] == [stopped]
    # The one by which the fixture filled the gallery.
    by_command = operator.get(PATH).json()["jobs"][-1]
    assert (by_command["kind"], by_command["status"]) == ("ingest", "succeeded")
    assert by_command["done"] == by_command["total"] > 0


def test_an_ingestion_whose_job_is_killed_goes_on_by_itself(operator: httpx.Client) -> None:
    """By the API, which finds that the job died."""
    path = "/api/admin/ingestions"
    ingestion = operator.post(path, json={"category": "politicians"}).json()["id"]
    sent = operator.put(f"{path}/{ingestion}/files/0", content=BIDEN.read_bytes(), params={"name": "joe.jpg"})
    assert sent.status_code == 204, sent.text
    assert operator.post(f"{path}/{ingestion}/start").status_code == 200

    def driver() -> list[psutil.Process]:
        argument = f"ingestion:{ingestion}"
        # The shell in front of it ends with it.
        return [each for each in psutil.process_iter(["cmdline"]) if argument in (each.info["cmdline"] or ())]

    def state() -> dict[str, Any]:
        found: dict[str, Any] = operator.get(f"{path}/{ingestion}").json()["ingestion"]
        return found

    first = state()["ray_job"]
    wait_for(lambda: bool(driver()))
    for process in driver():
        process.kill()
    wait_for(lambda: state()["state"] in {"done", "review"})
    ended = state()
    assert ended["ray_job"] != first
    assert (ended["done"], ended["total"], ended["taken"] + ended["present"]) == (1, 1, 1)
    jobs = {job["id"]: job for job in operator.get(PATH).json()["jobs"]}
    assert jobs[first]["status"] == "failed"
    assert jobs[ended["ray_job"]]["started_by"] == "service"
