"""An ingestion that is killed half way and started again ends with the rows of an undisturbed one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from rich.console import Console

import batch.ingest.job
import batch.workers
from batch.ingest.job import IngestOptions, ingest
from batch.ingest.known import KnownHashes
from batch.ingest.outcomes import IngestResult
from batch.ingest.worker import IngestRules, IngestWorker, NumberedItem
from semblance.errors import ConfigurationError, WorkersError
from semblance.settings import Settings
from tests.support.pictures import gallery
from tests.support.waiting import wait_for

PICTURES = 40
BATCH = 4
RULES = IngestRules(min_quality=0.6, largest=False, dry_run=False)

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gallery(tmp_path_factory.mktemp("source"), PICTURES)


@pytest.fixture
def settings(tmp_path: Path, dsn: str) -> Settings:
    return Settings.model_validate({"home": tmp_path / "home", "database_url": dsn})


def rows(dsn: str) -> list[dict[str, Any]]:
    """The gallery without the times at which it was written."""
    times = {"created_at", "updated_at", "analyzed_at"}
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        found = connection.execute("SELECT * FROM celebrities ORDER BY id").fetchall()
    return [{name: value for name, value in row.items() if name not in times} for row in found]


def report(path: Path) -> list[dict[str, str]]:
    """The complete lines written so far."""
    written = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in written.splitlines(keepends=True) if line.endswith("\n")]


def workers() -> list[psutil.Process]:
    """This Ray's actors that analyze photos."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "IngestWorker" in "".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def start(source: Path, path: Path, settings: Settings, address: str) -> subprocess.Popen[bytes]:
    """The command, as a job runs it."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "batch.ingest", str(source)),
            *("--report", str(path), "--batch-size", str(BATCH), "--actors", "2"),
        ],
        env={
            **os.environ,
            "RAY_ADDRESS": address,
            "SEMBLANCE_HOME": str(settings.home),
            "SEMBLANCE_DATABASE_URL": settings.required_database_url.get_secret_value(),
        },
    )


@contextmanager
def held_up(dsn: str, picture: Path) -> Iterator[None]:
    """Meanwhile no batch with this picture is stored, however long it takes to kill something."""
    with psycopg.connect(dsn) as gate:
        gate.execute("SET session_replication_role = replica")
        gate.execute(
            "INSERT INTO celebrities (name, image_path, image_hash) VALUES ('', '', %s)",
            [hashlib.md5(picture.read_bytes(), usedforsecurity=False).hexdigest()],
        )
        yield
        gate.rollback()


async def test_kills_change_no_row(
    source: Path, settings: Settings, tmp_path: Path, make_database: Callable[[str], str], ray_address: str
) -> None:
    """The driver is killed; the same command is run again, and its workers are killed."""
    dsn = settings.required_database_url.get_secret_value()
    path = tmp_path / "first.jsonl"
    with held_up(dsn, source / "even" / "0020.jpg"):
        driver = start(source, path, settings, ray_address)
        wait_for(lambda: len(report(path)) >= BATCH)
        driver.kill()
        assert driver.wait() == -signal.SIGKILL
    first = report(path)
    interrupted = rows(dsn)
    # A batch can be in the database that the report did not get to say.
    assert sum(line["outcome"] == "ingested" for line in first) <= len(interrupted)
    assert 0 < len(interrupted) <= len(first) + 2 * BATCH < PICTURES

    path = tmp_path / "second.jsonl"
    wait_for(lambda: not workers())
    with held_up(dsn, source / "even" / "0036.jpg"):
        driver = start(source, path, settings, ray_address)
        wait_for(lambda: len(report(path)) >= BATCH)
        victims = workers()
        for victim in victims:
            victim.kill()
        assert victims
        assert len(report(path)) < PICTURES
    assert driver.wait() == 0
    second = report(path)

    undisturbed = Settings.model_validate(
        {"home": tmp_path / "other", "database_url": make_database("semblance")}
    )
    options = IngestOptions(str(source), RULES, batch_size=BATCH, actors=1)
    summary = await ingest(options, undisturbed, Console(file=io.StringIO()))
    expected = rows(undisturbed.required_database_url.get_secret_value())
    assert rows(dsn) == expected
    assert len(expected) == summary.counts["ingested"]

    third = report(summary.report)
    assert [line["input"] for line in second] == [line["input"] for line in third]
    known = {row["image_hash"] for row in interrupted}
    for again, once in zip(second, third, strict=True):
        present = once["outcome"] == "ingested" and once["image_hash"] in known
        assert again["outcome"] == ("already_present" if present else once["outcome"])
    assert set(summary.counts) == {"ingested", "duplicate", "no_face"}


class FragileIngestWorker(IngestWorker):
    """A worker that one picture kills, as a bug in a native decoder would. Its other
    pictures contain no face."""

    def __init__(self, settings: Settings, rules: IngestRules) -> None:
        """Without nets, to start quickly."""

    def process(self, items: Sequence[NumberedItem], known: KnownHashes) -> list[IngestResult]:
        if any(item.label == "even/0004.jpg" for _, item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(item.label == "odd/0007.jpg" for _, item in items):
            raise RuntimeError("a fault")
        return [IngestResult(index, "no_face") for index, _ in items]


@pytest.mark.usefixtures("ray_address")
async def test_a_picture_that_kills_workers_fails_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch.ingest.job, "IngestWorker", FragileIngestWorker)
    monkeypatch.setattr(batch.workers, "ATTEMPTS", 1)
    options = IngestOptions(str(gallery(tmp_path / "few", 10)), RULES, batch_size=3, actors=1)
    summary = await ingest(options, settings, Console(file=io.StringIO()))
    outcomes = {line["input"]: line["outcome"] for line in report(summary.report)}
    assert len(outcomes) == 10
    failed = {label for label, outcome in outcomes.items() if outcome == "failed"}
    assert failed == {"even/0004.jpg", "odd/0007.jpg"}


class HopelessIngestWorker(IngestWorker):
    """A worker whose nets cannot be loaded on its node."""

    def __init__(self, settings: Settings, rules: IngestRules) -> None:
        raise ConfigurationError("no CUDA here")


@pytest.mark.usefixtures("ray_address")
async def test_workers_that_cannot_start_end_the_run(
    source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch.ingest.job, "IngestWorker", HopelessIngestWorker)
    with pytest.raises(WorkersError, match="no CUDA here"):
        await ingest(IngestOptions(str(source), RULES, actors=1), settings, Console(file=io.StringIO()))
