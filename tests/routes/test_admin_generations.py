from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.queries import queries
from tests.support.api import Api, User


def noon(days: int) -> datetime:
    """Of the day that many days ago."""
    return datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


@pytest.fixture
async def root(api: Api) -> User:
    return await api.member("Root", role="admin")


async def add(
    api: Api, status: str, *, days: int = 0, ms: int | None = None, provider: str = "fal", model: str = "flux"
) -> None:
    await api.services.database.execute(
        """
        INSERT INTO generation_logs (provider, model, status, duration_ms, created_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        provider, model, status, ms, noon(days),
    )  # fmt: skip


async def generations(api: Api, user: User, **query: Any) -> list[dict[str, Any]]:
    answer = await api.client.get("/api/admin/generations", params=query, headers=user.headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["generations"]
    return found


async def test_success_and_duration_by_day_and_kind(api: Api, root: User) -> None:
    assert await generations(api, root) == []
    for ms in range(100, 2100, 100):
        await add(api, "completed", ms=ms)
    for _ in range(5):
        # How long a failure took says nothing of how long a picture takes.
        await add(api, "failed", ms=60_000)
    await add(api, "processing")
    await add(api, "failed", days=1)
    await add(api, "processing", provider="local", model="blend")
    await add(api, "completed", ms=500, days=29)
    await add(api, "completed", ms=500, days=30)

    today, local, yesterday, oldest = await generations(api, root)
    assert today == {
        "day": f"{noon(0):%Y-%m-%d}", "kind": "baby", "provider": "fal", "model": "flux",
        "completed": 20, "failed": 5, "processing": 1, "success_rate": 0.8, "tokens_in": 0, "tokens_out": 0,
        "duration_p50_ms": 1050.0, "duration_p95_ms": pytest.approx(1905),
    }  # fmt: skip
    assert (local["provider"], local["success_rate"], local["duration_p50_ms"]) == ("local", None, None)
    assert (yesterday["success_rate"], yesterday["duration_p95_ms"]) == (0.0, None)
    assert oldest["day"] == f"{noon(29):%Y-%m-%d}"
    assert len(await generations(api, root, days=1)) == 2
    assert len(await generations(api, root, days=31)) == 5


async def test_days_are_read_by_index(api: Api) -> None:
    async with api.owner.transaction() as connection:
        await connection.execute(
            """
            INSERT INTO generation_logs (provider, model, status, created_at)
            SELECT 'local', 'm', 'failed', now() - make_interval(hours => i)
            FROM generate_series(1, 20000) AS i
            """
        )
        await connection.execute("ANALYZE generation_logs")
        plan = await connection.fetch(f"EXPLAIN {queries['generation_days']}", 3)
    assert any("idx_generation_logs_created_at" in row[0] for row in plan)


async def test_only_admins_and_within_bounds(api: Api, root: User) -> None:
    ada = await api.member("Ada")
    assert (await api.client.get("/api/admin/generations", headers=ada.headers)).status_code == 403
    assert (await api.client.get("/api/admin/generations")).status_code == 401
    for days in (0, 367, -1, "x"):
        answer = await api.client.get("/api/admin/generations", params={"days": days}, headers=root.headers)
        assert answer.status_code == 422
