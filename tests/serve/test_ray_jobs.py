"""Ray jobs that an operator starts through the API of a running stack."""

from __future__ import annotations

import shlex
import sys
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


def kill_drivers(argument: str) -> bool:
    """Kill the commands of ingestions with this argument; the shell in front of each ends with it."""
    commands = [
        each
        for each in psutil.process_iter(["cmdline"])
        if {"batch.ingest", argument} <= set(each.info["cmdline"] or ())
    ]
    for command in commands:
        command.kill()
    return bool(commands)


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


def test_a_job_that_rays_own_command_submitted_is_listed_logged_and_stopped(
    service: Service, operator: httpx.Client
) -> None:
    def submit(submission_id: str) -> dict[str, Any]:
        service.shell(
            f"ray job submit --no-wait --submission-id {submission_id} -- {shlex.quote(sys.executable)} "
            f"-m batch.ingest --dry-run {INGEST_ROOT}"
        )

        def job() -> dict[str, Any] | None:
            jobs = operator.get(PATH).json()["jobs"]
            return next((each for each in jobs if each["submission_id"] == submission_id), None)

        wait_for(lambda: job() is not None)
        found = job()
        assert found is not None
        assert (found["kind"], found["status"]) == ("ingest", "running")
        assert found["arguments"] == ["--dry-run", INGEST_ROOT]
        return found

    killed = submit("by-hand-1")
    kill_drivers(INGEST_ROOT)
    wait_for(lambda: seen(operator, killed["id"])["status"] == "failed")
    assert "batch.ingest" in operator.get(f"{PATH}/{killed['id']}/log").json()["text"]
    stopped = submit("by-hand-2")
    assert operator.post(f"{PATH}/{stopped['id']}/stop").json() == {"stopped": True}
    wait_for(lambda: seen(operator, stopped["id"])["status"] == "stopped")


def test_an_ingestion_whose_job_is_killed_goes_on_by_itself(operator: httpx.Client) -> None:
    """By the API, which finds that the job died."""
    path = "/api/admin/ingestions"
    ingestion = operator.post(path, json={"category": "politicians"}).json()["id"]
    sent = operator.put(f"{path}/{ingestion}/files/0", content=BIDEN.read_bytes(), params={"name": "joe.jpg"})
    assert sent.status_code == 204, sent.text
    assert operator.post(f"{path}/{ingestion}/start").status_code == 200

    def state() -> dict[str, Any]:
        found: dict[str, Any] = operator.get(f"{path}/{ingestion}").json()["ingestion"]
        return found

    first = state()["ray_job"]
    wait_for(lambda: kill_drivers(f"ingestion:{ingestion}"))
    wait_for(lambda: state()["state"] in {"done", "review"})
    ended = state()
    assert ended["ray_job"] != first
    assert (ended["done"], ended["total"], ended["taken"] + ended["present"]) == (1, 1, 1)
    jobs = {job["id"]: job for job in operator.get(PATH).json()["jobs"]}
    assert jobs[first]["status"] == "failed"
    assert jobs[ended["ray_job"]]["started_by"] == "service"
