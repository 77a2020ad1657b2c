"""The match worker starts at once, can be killed, and completes faces of which only the photo is stored."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import cv2
import numpy as np
import psycopg
import pytest

from db.job_queue import JobQueue
from db.pool import Database
from deployments.faces.pipeline import LocalPipeline
from matching.worker import MatchWorker
from semblance.errors import (
    BadInputError,
    NotReadyError,
    OverloadedError,
    PackError,
    StorageError,
    UnreadableImageError,
)
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from semblance.types import AnalyzedFace, Detection
from tests.support.api import LocalFaces
from tests.support.photos import OBAMA_3 as PHOTO
from tests.support.rows_matching import add_celebrities, add_face, add_person, add_user, famous, varied
from tests.support.waiting import MATCHED, wait_for, wait_until

SEMBLANCE = Path(sys.executable).with_name("semblance")

RESULT = """
    SELECT face_a_id::text, face_b_id::text, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights::text
    FROM matches
    UNION ALL
    SELECT face_id::text, celebrity_id::text, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights::text
    FROM celebrity_matches
    ORDER BY 1, 2
"""


class Failing:
    """An analyzer that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        raise self._error


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


@pytest.fixture
def worker(database: Database, storage: Storage, pipeline: LocalPipeline, settings: Settings) -> MatchWorker:
    return MatchWorker(database, storage, LocalFaces(pipeline), pipeline.model, settings)


@asynccontextmanager
async def running(worker: MatchWorker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_running_worker_takes_jobs_at_once(database: Database, worker: MatchWorker) -> None:
    await add_celebrities(database, famous(1))
    async with running(worker):
        await asyncio.sleep(0.5)
        await add_person(database)
        await wait_until(database, MATCHED)
        await add_person(database, gender="male")
        await wait_until(database, "SELECT count(*) = 1 FROM matches")


async def add_job_of_another(database: Database) -> None:
    """One whose lease ends soon."""
    await add_person(database)
    await database.execute(
        "UPDATE match_jobs SET status = 'processing', attempts = 1, locked_by = gen_random_uuid(),"
        " lease_until = now() + interval '0.5 s'"
    )


async def test_a_running_worker_wakes_when_anothers_lease_ends(
    database: Database, worker: MatchWorker
) -> None:
    await add_job_of_another(database)
    async with running(worker):
        await wait_until(database, MATCHED)


async def test_a_running_worker_returns_anothers_job_to_a_paused_queue(
    database: Database, worker: MatchWorker
) -> None:
    await add_job_of_another(database)
    await JobQueue(database).pause(paused=True)
    async with running(worker):
        await wait_until(database, "SELECT bool_and(status = 'pending') FROM match_jobs")


async def test_an_idle_worker_does_not_query_the_database(
    database: Database, worker: MatchWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    process = worker._worker.process

    async def counted() -> Any:
        nonlocal calls
        calls += 1
        return await process()

    monkeypatch.setattr(worker._worker, "process", counted)
    async with running(worker):
        await asyncio.sleep(1)
    assert 1 <= calls <= 3


async def test_the_gallery_is_read_before_a_job_needs_it(
    database: Database, worker: MatchWorker, pipeline: LocalPipeline, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    digest = pipeline.model.digest
    [early] = await add_celebrities(database, famous(1, pack_digest=digest))
    async with running(worker):
        while "photos in the gallery: 1" not in caplog.text:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.01)
        # This row logs no change, so only a gallery read from now on contains it.
        await add_celebrities(database, famous(2, pack_digest=digest))
        await database.execute("DELETE FROM celebrity_changes")
        await add_person(database, face={"pack_digest": digest})
        await wait_until(database, MATCHED)
    assert [row["celebrity_id"] for row in await database.fetch("SELECT * FROM celebrity_matches")] == [early]


async def test_a_worker_outlives_its_connections(database: Database, worker: MatchWorker, dsn: str) -> None:
    async with running(worker):
        await asyncio.sleep(0.3)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute(
                "INSERT INTO profiles (id, profile_type, gender, school)"
                " VALUES ('7f0f7a5e-6d4f-4c35-9d1c-0c6f4b8d1a11', 'user', 'female', 'mit')"
            )
        await asyncio.sleep(0.1)
        await add_face(database, UUID("7f0f7a5e-6d4f-4c35-9d1c-0c6f4b8d1a11"))
        await wait_until(database, MATCHED)


async def test_a_face_without_an_embedding_is_analyzed_first(
    database: Database, worker: MatchWorker, storage: Storage, pipeline: LocalPipeline
) -> None:
    await storage.put("faces/obama.jpg", PHOTO.read_bytes(), "image/jpeg")
    user = await add_user(database, gender="male")
    bare = dict.fromkeys(
        ("embedding", "pack_digest", "age", "quality_score", "symmetry_score", "skin_tone_lab", "expression")
    )
    face = await add_face(
        database, user, **{**bare, "geometry_ratios": None, "image_path": "faces/obama.jpg"}
    )
    (star,) = await add_celebrities(database, famous(1, gender="female", pack_digest=pipeline.model.digest))
    (outcome,) = await worker.process()
    assert (outcome.status, outcome.error) == ("completed", None)
    row = await database.fetchrow("SELECT * FROM faces WHERE id = $1", face)
    assert row is not None
    assert row["pack_digest"] == pipeline.model.digest
    _, (expected,) = pipeline.analyze_photo(PHOTO.read_bytes(), 1)
    assert row["embedding"].to_numpy() @ expected.embedding > 0.999
    assert (row["gender"], row["analyzed_at"] is not None) == ("male", True)
    assert row["geometry_ratios"].keys() >= {"face_width_height_ratio"}
    assert await database.fetchval("SELECT celebrity_id FROM celebrity_matches") == star


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (None, "The photo of this face is not in the storage."),
        (b"no picture", None),
        ("noise", "No face detected in image"),
    ],
)
async def test_a_photo_that_cannot_be_analyzed_fails_for_good(
    database: Database, worker: MatchWorker, storage: Storage, picture: Any, message: str | None
) -> None:
    if picture == "noise":
        picture = noise()
    if picture is not None:
        await storage.put("faces/x.png", picture, "image/png")
    await add_person(database, face={"embedding": None, "pack_digest": None, "image_path": "faces/x.png"})
    (outcome,) = await worker.process()
    assert outcome.status == "failed"
    assert outcome.error == (message or outcome.error)
    assert await worker.process() == []


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (BadInputError("This photo cannot be used."), "failed", "This photo cannot be used."),
        (UnreadableImageError("This is no photo."), "failed", "This is no photo."),
        (StorageError("disk 7 on host x"), "pending", "Something went wrong on our side (storage)."),
        (NotReadyError("It starts."), "pending", "Something went wrong on our side (not_ready)."),
        (PackError("no weights in /x"), "pending", "Something went wrong on our side (model_pack)."),
        (ValueError("secret"), "pending", "Something went wrong on our side (internal_error)."),
    ],
)
async def test_the_error_says_whether_the_job_is_tried_again(
    *,
    database: Database,
    storage: Storage,
    pipeline: LocalPipeline,
    settings: Settings,
    error: Exception,
    status: str,
    told: str,
) -> None:
    worker = MatchWorker(database, storage, Failing(error), pipeline.model, settings)
    await storage.put("faces/x.jpg", b"photo", "image/jpeg")
    await add_person(database, face={"embedding": None, "pack_digest": None})
    (outcome,) = await worker.process()
    assert (outcome.status, outcome.error) == (status, told)


async def test_a_busy_service_is_asked_again_later(
    *,
    database: Database,
    storage: Storage,
    pipeline: LocalPipeline,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("db.jobs.FIRST_DELAY", timedelta(minutes=2))
    worker = MatchWorker(
        database, storage, Failing(OverloadedError("All workers are busy.")), pipeline.model, settings
    )
    await storage.put("faces/x.jpg", PHOTO.read_bytes(), "image/jpeg")
    await add_person(database, face={"embedding": None, "pack_digest": None})
    for status in ("pending", "pending", "failed"):
        (outcome,) = await worker.process()
        assert outcome.status == status
        assert outcome.error == "Something went wrong on our side (overloaded)."
        assert await worker.process() == []
        await database.execute("UPDATE match_jobs SET run_after = now()")


async def test_a_stopping_worker_returns_its_jobs(database: Database, worker: MatchWorker, dsn: str) -> None:
    face = await add_person(database)
    with psycopg.connect(dsn) as other:
        other.execute("SELECT FROM faces WHERE id = %s FOR UPDATE", [face])
        async with running(worker):
            await wait_until(database, "SELECT status = 'processing' FROM match_jobs")
            await asyncio.sleep(0.3)
    await worker.release()
    row = await database.fetchrow("SELECT status, attempts FROM match_jobs")
    assert row is not None
    assert tuple(row) == ("pending", 0)


async def test_killed_in_the_middle_and_run_again_the_tables_are_the_same(
    database: Database,
    worker: MatchWorker,
    dsn: str,
    copy_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    await add_celebrities(database, *varied(100))
    for number, gender in enumerate(["female", "male"] * 4):
        await add_person(database, gender=gender, face={"age": 20 + number})
    # Two jobs can be done before the worker is killed; the others stop after the rows of their users.
    await database.execute(
        "UPDATE match_jobs SET job_type = 'user_match'"
        " WHERE id IN (SELECT id FROM match_jobs ORDER BY created_at LIMIT 2)"
    )
    await database.close()
    undisturbed = await Database.connect(copy_database(), pool_size=4)
    calm = MatchWorker(
        undisturbed, worker._storage, worker._analyzer, worker._model, Settings(home=tmp_path / "calm")
    )
    assert len(await calm.process()) == 8
    expected = [tuple(row) for row in await undisturbed.fetch(RESULT)]
    assert len(expected) == 16 + 6 * 20
    await undisturbed.close()

    environment = {
        **os.environ,
        "SEMBLANCE_DATABASE_URL": dsn,
        "SEMBLANCE_HOME": str(tmp_path / "killed"),
        "SEMBLANCE_MATCH_LEASE_SECONDS": "1",
    }
    await asyncio.to_thread(kill_a_worker_in_the_middle, dsn, environment)
    again = await Database.connect(dsn, pool_size=4)
    survivor = MatchWorker(
        again, worker._storage, worker._analyzer, worker._model, Settings(home=tmp_path / "again")
    )
    async with running(survivor):
        await wait_until(again, MATCHED)
    assert [tuple(row) for row in await again.fetch(RESULT)] == expected
    await again.close()


RUN_WITHOUT_RAY = """
import sys
from ops.commands import main
sys.argv = ["semblance", "worker", "--once"]
try:
    main()
except SystemExit as ending:
    assert not ending.code, ending.code
loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "ray")
assert not loaded, loaded
"""


async def test_the_command_does_jobs_without_importing_ray(
    database: Database, storage: Storage, settings: Settings, dsn: str
) -> None:
    """In a separate interpreter, with a face whose photo has to be analyzed."""
    await storage.put("faces/x.jpg", PHOTO.read_bytes(), "image/jpeg")
    await add_person(database, face={"embedding": None, "pack_digest": None})
    await add_person(database)
    environment = {**os.environ, "SEMBLANCE_DATABASE_URL": dsn, "SEMBLANCE_HOME": str(settings.home)}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", RUN_WITHOUT_RAY],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 jobs: 2 completed" in done.stdout
    assert await database.fetchval("SELECT count(pack_digest) = 2 FROM faces")


def noise() -> bytes:
    """A PNG without a face."""
    done, data = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    assert done
    return bytes(data.tobytes())


def kill_a_worker_in_the_middle(dsn: str, environment: dict[str, str]) -> None:
    """Start a worker, stop it where it writes the celebrities of a face, and kill it there."""
    with psycopg.connect(dsn) as blocker, psycopg.connect(dsn, autocommit=True) as watcher:
        blocker.execute("LOCK TABLE celebrity_matches IN SHARE MODE")
        process = subprocess.Popen(
            [SEMBLANCE, "worker"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            blocked = "SELECT FROM pg_locks WHERE relation = 'celebrity_matches'::regclass AND NOT granted"
            wait_for(lambda: watcher.execute(blocked).fetchone() is not None)
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
        stuck = watcher.execute("SELECT count(*) FROM match_jobs WHERE status = 'processing'").fetchone()
        assert stuck is not None and stuck[0] >= 1
        blocker.rollback()
