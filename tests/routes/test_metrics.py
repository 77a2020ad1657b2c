"""What happens is measured, and `GET /metrics` says it to those who may read it."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db.quotas import QuotaKind
from semblance import __version__, recorder
from semblance.errors import DatabaseError
from serve_app.api.bodies import JSON_VALUES
from serve_app.api.gauges import sample
from tests.support.api import API_KEY, Api, User
from tests.support.console import sign_in
from tests.support.photos import ASTRONAUT

KEY = {"Authorization": f"Bearer {API_KEY}"}

Value = Callable[..., float]


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Value:
    """The values recorded during the test: those of a metric whose labels contain the given ones."""
    local = recorder.Recorder()
    monkeypatch.setattr(recorder, "local", local)

    def value(metric: str, /, **labels: str) -> float:
        samples = (sample for family in local.families() for sample in family.samples)
        return sum(
            sample.value
            for sample in samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        )

    return value


async def upload(api: Api, user: User) -> int:
    headers = {**user.headers, "Content-Type": "image/jpeg"}
    answer = await api.client.post("/api/faces", headers=headers, content=ASTRONAUT.read_bytes())
    return answer.status_code


async def test_requests_are_counted_by_their_templates(fresh: Value, api: Api) -> None:
    user = await api.member("Ada")
    for _ in range(2):
        await api.client.get(f"/api/jobs/{uuid.uuid4()}", headers=user.headers)
    await api.client.get(f"/nowhere/{uuid.uuid4()}")
    await api.client.get("/console/")
    await api.client.get("/health")
    await api.client.request("BREW", "/health")
    assert fresh("semblance_requests_total", method="GET", route="/api/jobs/{job_id}", status="404") == 2
    assert fresh("semblance_request_seconds_count", method="GET", route="/api/jobs/{job_id}") == 2
    assert fresh("semblance_requests_total", route="unmatched", status="404") == 1
    assert fresh("semblance_requests_total", route="/console") == 1
    assert fresh("semblance_requests_total", route="/health", status="200") == 1
    assert fresh("semblance_requests_total", method="other", status="405") == 1
    assert fresh("semblance_refusals_total", code="not_found") == 3


@pytest.mark.parametrize("path", ["/compare-faces", "/extract-embedding"])
@pytest.mark.parametrize(
    ("code", "sent"),
    [
        ("encoded_body", {"Content-Encoding": "gzip"}),
        ("image_too_large", {"Content-Length": "1000000000"}),
        ("bad_input", {"Content-Type": "application/json"}),
    ],
)
async def test_a_refused_body_is_counted_once(
    fresh: Value, api: Api, path: str, code: str, sent: dict[str, str]
) -> None:
    headers = {**KEY, "Content-Type": "image/jpeg", **sent}
    answer = await api.client.post(path, headers=headers, content=b"[" * (JSON_VALUES + 1))
    assert (answer.json()["code"], answer.headers["connection"]) == (code, "close")
    assert fresh("semblance_refusals_total", code=code) == fresh("semblance_refusals_total") == 1


async def test_what_a_photo_causes_is_measured(fresh: Value, api: Api) -> None:
    user = await api.member("Ada")
    assert await upload(api, user) == 202
    assert await upload(api, user) == 400
    await api.services.matcher.process(1)
    assert fresh("semblance_refusals_total", code="duplicate_picture") == 1
    assert fresh("semblance_jobs_total", queue="match job", outcome="completed") == 1
    assert fresh("semblance_match_seconds_count") == 1
    assert fresh("semblance_search_seconds_count", kind="gallery") == 1
    assert fresh("semblance_gallery_rows", pack=api.services.model.digest[:12]) == 0
    assert fresh("semblance_gallery_current_timestamp_seconds") > 1.7e9
    assert fresh("semblance_database_wait_seconds_count") > 5


@pytest.mark.parametrize(("quota", "setting"), [("photo_upload", "daily_photo_upload_limit")])
async def test_refusals_of_a_quota_are_counted(
    fresh: Value, api: Api, quota: QuotaKind, setting: str
) -> None:
    await api.owner.execute("UPDATE system_settings SET value = '0' WHERE key = $1", setting)
    user = await api.member("Ada")
    assert await upload(api, user) == 429
    assert fresh("semblance_quota_refusals_total", quota=quota) == 1


async def test_the_queue_is_measured_by_status(fresh: Value, api: Api) -> None:
    user = await api.member("Ada")
    assert await upload(api, user) == 202
    await api.owner.execute("UPDATE match_jobs SET created_at = now() - interval '1 hour'")
    await sample(api.services)
    assert fresh("semblance_queue_jobs", status="pending") == 1
    assert 3600 <= fresh("semblance_queue_oldest_seconds", status="pending") < 4000
    assert fresh("semblance_queue_jobs", status="failed") == 0
    assert fresh("semblance_build_info", version=__version__, pack="open") == 1
    assert 0 < fresh("semblance_disk_free_bytes") < fresh("semblance_disk_size_bytes")


async def test_without_a_database_the_other_gauges_are_measured(
    fresh: Value, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: Any) -> Any:
        raise DatabaseError("gone")

    monkeypatch.setattr(api.services.database, "fetch", fails)
    await sample(api.services)
    assert fresh("semblance_disk_free_bytes") > 0


async def create(api: Api, scope: str) -> str:
    user = await sign_in(api)
    made = await user.call("POST", "/api/admin/api-keys", json={"name": "Prometheus", "scopes": [scope]})
    return str(made.json()["key"])


async def own(_: Api) -> str:
    return API_KEY


async def made_for_metrics(api: Api) -> str:
    return await create(api, "metrics")


async def made_for_computing(api: Api) -> str:
    return await create(api, "compute")


async def users(api: Api) -> str:
    return (await api.member("Ada")).headers["Authorization"].removeprefix("Bearer ")


@pytest.mark.parametrize(
    ("key", "status"), [(own, 200), (made_for_metrics, 200), (made_for_computing, 401), (users, 401)]
)
async def test_metrics_take_a_key_of_their_own(
    api: Api, key: Callable[[Api], Awaitable[str]], status: int
) -> None:
    headers = {"Authorization": f"Bearer {await key(api)}"}
    answer = await api.client.get("/metrics", headers=headers)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.headers["content-type"].startswith("text/plain; version=")
        assert 'semblance_queue_jobs{status="pending"}' in answer.text


async def test_metrics_need_credentials(api: Api) -> None:
    assert (await api.client.get("/metrics")).status_code == 401
    user = await sign_in(api)
    assert (await user.call("GET", "/metrics")).status_code == 200
    key = await create(api, "metrics")
    compared = await api.client.post(
        "/compare-faces",
        json={"embedding_a": [1.0, 0.0], "embedding_b": [1.0, 0.0]},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert compared.status_code == 401
