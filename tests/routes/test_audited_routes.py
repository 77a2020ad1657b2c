"""Every route and every command by which operators change something leaves a record of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

import serve_app.ray_jobs
from db.celebrities import Celebrities
from db.ingestions import NewRefusal
from semblance.settings import Settings
from tests.support.api import API_KEY, CRON_SECRET, JWT_SECRET, Api
from tests.support.console import ORIGIN, ConsoleUser, sign_in
from tests.support.rows import celebrity, embeddings
from tests.support.rows_scored import add_faces

CHANGE_NOTHING = {
    "POST /api/admin/people/known": "says who of some people is in the gallery",
    "POST /api/admin/settings/preview": "says what rules would change",
    "PUT /api/admin/ingestions/{ingestion_id}/files/{number}": "nobody sees the files before the start, "
    "which is recorded with how many there are",
}
"""Routes that are no change, and why."""


class IdleRay:
    """Takes jobs, and does nothing for them."""

    def __init__(self) -> None:
        self._jobs: list[SimpleNamespace] = []

    def submit_job(self, *, submission_id: str, **_: object) -> None:
        self._jobs.append(
            SimpleNamespace(
                submission_id=submission_id, status=JobStatus.RUNNING, message="", driver_exit_code=None
            )
        )

    def stop_job(self, _: str) -> bool:
        return True

    def list_jobs(self) -> list[SimpleNamespace]:
        return self._jobs

    def get_address(self) -> str:
        return "http://ray"


@dataclass
class Operator:
    """Calls routes as the console does, and notes what each recorded."""

    api: Api
    user: ConsoleUser
    recorded: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=lambda: [API_KEY, CRON_SECRET, JWT_SECRET])

    async def does(self, method: str, route: str, *, user: ConsoleUser | None = None, **call: Any) -> Any:
        """The answer of a call, whose path is the route with the values of `path`."""
        path = route.format(**call.pop("path", {}))
        async with self.notes(f"{method} {route}"):
            answer = await (user or self.user).call(method, path, **call)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    @asynccontextmanager
    async def notes(self, route: str) -> AsyncIterator[None]:
        """Notes what the block recorded as done by the route."""
        before = {row["id"] for row in await self.api.owner.fetch("SELECT id FROM audit_log")}
        yield
        rows = await self.api.owner.fetch("SELECT * FROM audit_log ORDER BY at")
        self.recorded[route] = [dict(row) for row in rows if row["id"] not in before]


@pytest.fixture
def api_settings(api_settings: Settings, tmp_path: Path) -> Settings:
    return api_settings.model_copy(update={"ingest_roots": (str(tmp_path),)})


@pytest.fixture
async def operator(api: Api, monkeypatch: pytest.MonkeyPatch) -> Operator:
    ray = IdleRay()
    monkeypatch.setattr(serve_app.ray_jobs, "_client", lambda: ray)
    user = await sign_in(api)
    return Operator(api, user, secrets=[API_KEY, CRON_SECRET, JWT_SECRET, user.token])


async def change_rules_and_schools(operator: Operator) -> None:
    await operator.does("PATCH", "/api/admin/settings", json={"match_threshold": 0.6})
    await operator.does("POST", "/api/admin/matching/rescoring")
    names = {"name": "MIT", "domains": ["mit.edu"], "aliases": []}
    school = {"school_id": (await operator.does("POST", "/api/admin/schools", json=names))["school"]["id"]}
    await operator.does("PATCH", "/api/admin/schools/{school_id}", path=school, json={"aliases": ["M.I.T."]})
    await operator.does("DELETE", "/api/admin/schools/{school_id}", path=school)


async def change_keys_and_sessions(operator: Operator) -> None:
    body = {"name": "booth", "scopes": ["compute"]}
    key = await operator.does("POST", "/api/admin/api-keys", json=body)
    operator.secrets.append(key["key"])
    await operator.does("DELETE", "/api/admin/api-keys/{key_id}", path={"key_id": key["stored"]["id"]})
    code = await operator.api.services.db.console_sessions.make_code()
    operator.secrets.append(code)
    async with operator.notes("POST /api/console/sessions"):
        await operator.api.client.post(
            "/api/console/sessions", json={"code": code}, headers={"Origin": ORIGIN}
        )
    operator.api.client.cookies.clear()
    other, third = await sign_in(operator.api), await sign_in(operator.api)
    operator.secrets += [other.token, third.token]
    session = (await other.call("GET", "/api/console/session")).json()["id"]
    path = {"session_id": session}
    await operator.does("DELETE", "/api/admin/console-sessions/{session_id}", path=path)
    await operator.does("DELETE", "/api/console/session", user=third)


async def change_jobs(operator: Operator) -> None:
    owner = operator.api.owner
    await add_faces(owner, 2)
    await operator.does("POST", "/api/admin/jobs/pause")
    await operator.does("POST", "/api/admin/jobs/resume")
    fail = "UPDATE match_jobs SET status = 'failed', completed_at = now() RETURNING id"
    job = await owner.fetchval(fail)
    await operator.does("POST", "/api/admin/jobs/retry", json={"ids": [str(job)]})
    await owner.execute(fail)
    await operator.does("POST", "/api/admin/jobs/retry-all")
    ray_job = await operator.does("POST", "/api/admin/ray-jobs", json={"kind": "rematch", "dry_run": True})
    await operator.does("POST", "/api/admin/ray-jobs/{job_id}/stop", path={"job_id": ray_job["id"]})


async def change_people(operator: Operator) -> None:
    names = ["Ada", "Ada", "Ada", "Grace", "Alan"]
    rows = [celebrity(number, vector) for number, vector in enumerate(embeddings(len(names), 0))]
    await Celebrities(operator.api.services.database).copy_in(
        [replace(row, name=name, category="c") for row, name in zip(rows, names, strict=True)]
    )
    listed = (await operator.user.call("GET", "/api/admin/people")).json()["people"]
    people = {person["name"]: person["id"] for person in listed}
    ada = {"person_id": people["Ada"]}
    body = {"name": "Ada Lovelace", "bio": None, "category": "c", "gender": None}
    await operator.does("PUT", "/api/admin/people/{person_id}", path=ada, json=body)
    merged = {"ids": [people["Alan"]]}
    photos = (await operator.does("POST", "/api/admin/people/{person_id}/merge", path=ada, json=merged))[
        "photos"
    ]
    ids = [photo["id"] for photo in photos]
    split = {"photo_ids": ids[:1], "name": "Alan"}
    await operator.does("POST", "/api/admin/people/{person_id}/split", path=ada, json=split)
    gone = {"photo_ids": ids[1:2]}
    await operator.does("POST", "/api/admin/people/{person_id}/photos/delete", path=ada, json=gone)
    deleted = await operator.does("POST", "/api/admin/people/delete", json={"ids": [people["Grace"]]})
    path = {"deletion_id": deleted["deletion_id"]}
    await operator.does("POST", "/api/admin/people/deletions/{deletion_id}/undo", path=path)


async def change_users(operator: Operator) -> None:
    user = await operator.api.member("Ada")
    label = (await operator.user.call("GET", f"/api/admin/users/{user.id}")).json()["label"]
    path = {"user_id": user.id}
    await operator.does("POST", "/api/admin/users/{user_id}/block", path=path)
    await operator.does("POST", "/api/admin/users/{user_id}/unblock", path=path)
    await operator.api.member("Root", role="admin")
    await operator.does("PUT", "/api/admin/users/{user_id}/role", path=path, json={"role": "admin"})
    await operator.does("PUT", "/api/admin/users/{user_id}/role", path=path, json={"role": "user"})
    await operator.does("POST", "/api/admin/users/{user_id}/delete", path=path, json={"name": label})


async def ingest(operator: Operator) -> None:
    route = "/api/admin/ingestions/{ingestion_id}"
    for ends in ("started", "discarded"):
        ingestion = (await operator.does("POST", "/api/admin/ingestions", json={"category": "c"}))["id"]
        path = {"ingestion_id": ingestion, "number": 0}
        await operator.does(
            "PUT", route + "/files/{number}", path=path, content=b"x", params={"name": "a.jpg"}
        )
        if ends == "discarded":
            await operator.does("DELETE", route, path=path)
            return
        await operator.does("POST", route + "/start", path=path)
        refusal = NewRefusal(uuid.uuid4(), "a.jpg", None, "several_faces", "so it is")
        await operator.api.services.db.ingestions.record(
            uuid.UUID(ingestion), done=None, taken=0, added=0, present=None, refused=[refusal], settled=[]
        )
        body = {"decision": "discard", "ids": [str(refusal.id)], "outcome": None}
        await operator.does("POST", route + "/decisions", path=path, json=body)


async def test_every_route_that_changes_something_leaves_a_record(operator: Operator) -> None:
    for change in (
        change_rules_and_schools,
        change_keys_and_sessions,
        change_jobs,
        change_people,
        change_users,
        ingest,
    ):
        await change(operator)
    routes = {
        f"{method.upper()} {path}"
        for path, methods in operator.api.app.openapi()["paths"].items()
        for method in methods
        if method in {"post", "put", "patch", "delete"} and path.startswith(("/api/admin/", "/api/console/"))
    }
    assert routes == operator.recorded.keys() | CHANGE_NOTHING.keys()
    silent = {route for route, records in operator.recorded.items() if not records} - CHANGE_NOTHING.keys()
    assert silent == set()
    for route, records in operator.recorded.items():
        for record in records:
            assert record["actor"].partition(":")[0] in {"console", "admin"}, route
            assert record["target"], route
            assert record["before"] is not None or record["after"] is not None, route
            written = json.dumps(record, default=str)
            assert not [secret for secret in operator.secrets if secret in written], route
