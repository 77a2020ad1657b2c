"""What a Ray job tells the database of itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import uuid

import pytest
import typer
from pydantic import SecretStr
from rich.console import Console

from batch import record
from batch.progress import JobProgress
from batch.record import recorded
from semblance.actor import command_actor
from semblance.errors import ConflictError
from semblance.settings import Settings
from tests.support.api import Api
from tests.support.commands import job
from tests.support.submitted import JOB_CONFIG, submitted
from tests.support.waiting import PATIENCE_S, until


def submit(monkeypatch: pytest.MonkeyPatch, submission_id: str) -> None:
    """Let this process be the command of a job that Ray knows by this id."""
    monkeypatch.setenv(JOB_CONFIG, submitted(submission_id))


async def test_progress_and_the_reason_of_a_failure(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = uuid.uuid4()
    submit(monkeypatch, str(job_id))
    monkeypatch.setattr(sys, "argv", ["/venv/batch/ingest/__main__.py", "https://ada:pw@host/data"])

    def run() -> None:
        with recorded(api_settings), JobProgress(Console(quiet=True), "ingest", 4) as progress:
            progress.advance(2, 1)
            raise ConflictError("It cannot be done.")

    with pytest.raises(ConflictError):
        await asyncio.to_thread(run)
    row = await api.services.ray_jobs.get(job_id)
    assert (row.kind, row.arguments, row.status, row.started_by) == (
        "ingest",
        ["https://[redacted]@host/data"],
        "failed",
        command_actor(),
    )
    [record] = await api.owner.fetch("SELECT * FROM audit_log WHERE action = 'ray_job.start'")
    assert (record["actor"], record["target"]) == (command_actor(), str(job_id))
    assert record["after"] == {"kind": "ingest", "arguments": row.arguments}
    assert (row.done, row.total, row.counted, row.message) == (2, 4, 1, "It cannot be done.")
    # Ray says that it still runs, and then that it failed; what the job said itself stays.
    await api.services.db.ray_jobs.set_status(job_id, "running", "Its log says why.")
    await api.services.db.ray_jobs.set_status(job_id, "failed", "Its log says why.")
    assert await api.services.ray_jobs.get(job_id) == row


@pytest.mark.parametrize(("exit_code", "status"), [(None, "succeeded"), (0, "succeeded"), (1, "failed")])
async def test_how_a_job_ended_is_known_without_ray(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch, exit_code: int | None, status: str
) -> None:
    """Ray, which is asked now and then, may have been restarted before."""
    job_id = uuid.uuid4()
    submit(monkeypatch, str(job_id))
    monkeypatch.setattr(sys, "argv", ["/venv/batch/rematch/__main__.py"])

    def run() -> None:
        with contextlib.suppress(typer.Exit), recorded(api_settings):
            if exit_code is not None:
                raise typer.Exit(exit_code)

    await asyncio.to_thread(run)
    row = await api.services.ray_jobs.get(job_id)
    assert (row.status, row.ended_at is None, row.message is None) == (status, False, status == "succeeded")


async def test_a_job_that_ray_stopped_stays_so(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = uuid.uuid4()
    submit(monkeypatch, str(job_id))
    monkeypatch.setattr(sys, "argv", ["/venv/batch/rematch/__main__.py"])
    rows = api.services.db.ray_jobs
    async with api.services.database.transaction() as connection:
        await rows.add(connection, job_id, "rematch", [], started_by="service")
    await rows.set_status(job_id, "stopped")

    def run() -> None:
        with recorded(api_settings):
            pass

    await asyncio.to_thread(run)
    assert (await api.services.ray_jobs.get(job_id)).status == "stopped"


async def test_a_job_that_rays_own_command_submitted_is_recorded_under_rays_id(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray takes an id again that it has forgotten, which is another job."""
    submit(monkeypatch, "raysubmit_h4Wx")
    monkeypatch.setattr(sys, "argv", ["/venv/batch/ingest/__main__.py", "/data"])

    def run() -> None:
        with recorded(api_settings):
            pass

    await asyncio.to_thread(run)
    await asyncio.to_thread(run)
    page, _ = await api.services.ray_jobs.page(10)
    assert [(row.submission_id, row.status) for row in page.items] == [("raysubmit_h4Wx", "succeeded")] * 2
    started = await api.owner.fetch("SELECT target FROM audit_log WHERE action = 'ray_job.start'")
    assert {row["target"] for row in started} == {str(row.id) for row in page.items}


async def test_a_job_with_nothing_new_is_heard_all_the_same(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(monkeypatch, "raysubmit_h4Wx")
    monkeypatch.setattr(sys, "argv", ["/venv/batch/rematch/__main__.py"])
    monkeypatch.setattr(record, "EVERY_S", 0.01)
    monkeypatch.setattr(record, "HEARD_S", 0.0)
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run() -> None:
        with recorded(api_settings):
            asyncio.run_coroutine_threadsafe(heard.wait(), loop).result(PATIENCE_S)

    job_thread = asyncio.create_task(asyncio.to_thread(run))
    times: set[object] = set()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(times) < 2:
                times |= {row["heard_at"] for row in await api.owner.fetch("SELECT heard_at FROM ray_jobs")}
                await asyncio.sleep(0.01)
    finally:
        heard.set()
        await job_thread


async def test_a_job_is_recorded_again_when_the_database_answers_again(
    api: Api, api_settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL is restarted at once if it crashes, and the job may not have noticed."""
    submit(monkeypatch, "raysubmit_h4Wx")
    monkeypatch.setattr(sys, "argv", ["/venv/batch/ingest/__main__.py", "/data"])
    monkeypatch.setattr(record, "EVERY_S", 0.01)
    monkeypatch.setattr(record, "_LAST_S", PATIENCE_S)
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()
    await api.owner.execute(
        """
        CREATE FUNCTION end_of_connection() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
        CREATE TRIGGER end_of_connection BEFORE INSERT ON ray_jobs
            FOR EACH ROW EXECUTE FUNCTION end_of_connection()
        """
    )

    def run() -> None:
        with recorded(api_settings), JobProgress(Console(quiet=True), "ingest", 4) as progress:
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(PATIENCE_S)
            progress.advance(4, 1)

    job_thread = asyncio.create_task(asyncio.to_thread(run))
    await until(lambda: "not recorded for now" in caplog.text)
    await api.owner.execute("DROP TRIGGER end_of_connection ON ray_jobs")
    go_on.set()
    await job_thread
    page, _ = await api.services.ray_jobs.page(10)
    assert [(row.status, row.done, row.total) for row in page.items] == [("succeeded", 4, 4)]


async def test_a_job_without_ray_is_not_recorded(api: Api, api_settings: Settings) -> None:
    with recorded(api_settings.model_copy(update={"database_url": SecretStr("postgresql://nowhere/none")})):
        pass


async def test_a_command_records_why_it_failed(api: Api, api_settings: Settings) -> None:
    job_id = str(uuid.uuid4())
    environment = {
        **os.environ,
        JOB_CONFIG: submitted(job_id),
        "SEMBLANCE_HOME": str(api_settings.home),
        "SEMBLANCE_DATABASE_URL": api_settings.required_database_url.get_secret_value(),
    }
    done = await asyncio.to_thread(job, "batch.reembed", "--pack=nowhere", environment=environment)
    row = await api.services.db.ray_jobs.get(uuid.UUID(job_id))
    assert row is not None, done.stderr
    assert (done.returncode, row.kind, row.arguments) == (1, "reembed", ["--pack=nowhere"])
    assert row.message is not None
    assert row.message in " ".join(done.stderr.split())
