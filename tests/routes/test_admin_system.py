"""What operators learn of the whole service."""

from __future__ import annotations

import asyncio

import pytest

from db.migrate import MIGRATIONS
from db.pool import Database
from db.statistics import DatabaseStatistics
from semblance import __version__, recorder
from semblance.settings import Settings
from serve_app.preflight import WHILE_RUNNING
from tests.support.api import Api
from tests.support.console import sign_in

SYSTEM = "/api/admin/system"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics of this test alone."""
    local = recorder.Recorder()
    monkeypatch.setattr(recorder, "local", local)
    monkeypatch.setattr("serve_app.api.routes.admin_system.local", local)


@pytest.mark.usefixtures("fresh")
async def test_the_service_at_a_glance(api: Api) -> None:
    user = await sign_in(api)
    for _ in range(3):
        await api.client.get("/health")
    answer = await user.call("GET", SYSTEM)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["versions"]["semblance"] == __version__
    assert (said["deployments"], said["problem"]) == (
        [],
        "This API runs without Ray, so there are no deployments.",
    )
    busiest = said["routes"][0]
    assert (busiest["method"], busiest["route"], busiest["requests"], busiest["failed"]) == (
        "GET",
        "/health",
        3,
        0,
    )
    assert 0 < busiest["median_seconds"] <= busiest["slow_seconds"] < 60
    assert said["pack"]["name"] == "open"
    assert said["pack"]["digest"] == api.services.model.digest
    assert said["pack"]["commercial_use"]
    assert said["pack"]["card"].startswith("# ")
    database = said["database"]
    assert database["bytes"] > 1_000_000
    assert database["newest_revision"] == MIGRATIONS[-1].revision
    assert {"faces", "celebrities"} <= {table["name"] for table in database["tables"]}
    assert all(index["bytes"] >= database["indexes"][-1]["bytes"] for index in database["indexes"])
    assert said["pictures"]["kind"] == "folder"
    assert 0 < said["pictures"]["free_bytes"] < said["pictures"]["size_bytes"]
    assert "password" not in answer.text


async def test_a_bucket_has_no_disk(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = api.services.settings.model_copy(
        update={"storage_url": "s3://faces/pictures?endpoint=https://user-data.example"}
    )
    monkeypatch.setattr("serve_app.api.services.Services.settings", settings)
    user = await sign_in(api)
    said = (await user.call("GET", SYSTEM)).json()
    assert said["pictures"] == {
        "kind": "bucket",
        "place": "s3://faces/pictures",
        "free_bytes": None,
        "size_bytes": None,
    }


async def test_the_checks_of_the_doctor(api: Api) -> None:
    user = await sign_in(api)
    answer = await user.call("GET", f"{SYSTEM}/findings")
    assert answer.status_code == 200, answer.text
    findings = {finding["subject"]: finding for finding in answer.json()["findings"]}
    assert findings.keys() >= {"Packages", "Model pack", "Disk", "Memory", "PostgreSQL", "Picture store"}
    assert findings["PostgreSQL"]["level"] == "ok"
    assert findings["Picture store"]["fix"] is None


async def test_users_learn_nothing(api: Api) -> None:
    user = await api.member("Ada")
    for path in (SYSTEM, f"{SYSTEM}/findings"):
        assert (await api.client.get(path)).status_code == 401
        assert (await api.client.get(path, headers=user.headers)).status_code == 403


def test_every_check_runs_without_an_event_loop() -> None:
    """They run in threads, and some begin a loop there."""
    assert not any(asyncio.iscoroutinefunction(check) for check in WHILE_RUNNING)
    assert all(isinstance(list(check(Settings())), list) for check in WHILE_RUNNING[:2])


async def test_the_application_reads_the_revision_of_a_migrated_database(api: Api) -> None:
    """The table itself is for the owner alone."""
    async with api.owner.transaction() as connection:
        await connection.execute("DROP TABLE IF EXISTS alembic_version")
        await connection.execute("CREATE TABLE alembic_version AS SELECT '0007' AS version_num")
    try:
        assert (await api.services.db.statistics.facts()).revision == "0007"
    finally:
        await api.owner.execute("DROP TABLE alembic_version")
    assert (await api.services.db.statistics.facts()).revision is None


async def test_rows_of_a_young_table_are_counted(fresh_dsn: str) -> None:
    """PostgreSQL analyzes a table of a few rows late or never, and has no estimate of it until then."""
    database = await Database.connect(fresh_dsn, pool_size=1)
    await database.execute("INSERT INTO profiles (id, profile_type) VALUES (gen_random_uuid(), 'user')")
    await database.execute("SELECT pg_stat_force_next_flush()")
    rows = {table.name: table.rows for table in await DatabaseStatistics(database).largest_tables(1000)}
    assert rows["profiles"] == 1
    await database.close()
