"""The command: its help, its log without a terminal, its exit status."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from batch.progress import JobProgress
from tests.support.commands import job
from tests.support.photos import OBAMA


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return job("batch.ingest", *arguments, environment={**os.environ, "COLUMNS": "120", **environment})


def test_help_explains_the_options() -> None:
    done = command("--help")
    assert done.returncode == 0
    for words in ("ray job submit", "metadata.json", "--largest", "s3://bucket", "--min-quality"):
        assert words in done.stdout


def test_an_error_is_a_sentence_and_a_status(tmp_path: Path) -> None:
    done = command(str(tmp_path), SEMBLANCE_HOME=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} holds no pictures: nothing to ingest.\n"
    assert done.stdout == ""


def test_a_database_that_cannot_be_reached_costs_no_more_than_the_command_again(tmp_path: Path) -> None:
    done = command(
        str(OBAMA.parent),
        SEMBLANCE_HOME=str(tmp_path),
        SEMBLANCE_DATABASE_URL="postgresql://app@127.0.0.1:1/semblance",
    )
    assert done.returncode == 1
    assert "The database cannot be reached" in done.stderr
    assert "run the same command again: it continues where it was." in done.stderr


def test_an_invalid_setting_is_named_without_its_value() -> None:
    done = command(
        "nowhere", SEMBLANCE_THREADS="many", SEMBLANCE_OWNER_DATABASE_URL="postgresql://me:secret@db"
    )
    assert done.returncode == 1
    assert "SEMBLANCE_THREADS: Input should be a valid integer" in done.stderr
    assert "SEMBLANCE_OWNER_DATABASE_URL: needs SEMBLANCE_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.ray
def test_a_run_on_its_own_ray(tmp_path: Path, dsn: str) -> None:
    done = command(
        *(str(OBAMA.parent), "--limit", "3", "--actors", "1"),
        SEMBLANCE_HOME=str(tmp_path),
        SEMBLANCE_DATABASE_URL=dsn,
        RAY_ADDRESS="local",
        HOME=str(tmp_path / "user"),
    )
    assert done.returncode == 0, done.stderr
    assert "3 inputs, 0 pictures known, 1 workers" in done.stdout
    assert "ingest 3/3 (100%)" in done.stdout
    assert "written to the database" in done.stdout
    (report,) = (tmp_path / "reports").iterdir()
    assert f"report: {report}" in done.stdout
    # Ray would otherwise leave a token there that later clusters of this user then ask for.
    assert not (tmp_path / "user" / ".ray").exists()


def test_progress_without_a_terminal_is_an_occasional_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("batch.progress.time.monotonic", lambda: now[0])
    output = io.StringIO()
    with JobProgress(Console(file=output), "ingest", 1000) as progress:
        for _ in range(4):
            now[0] += 2
            progress.advance(100, 1)
        now[0] += 2
        progress.advance(600, 0)
    assert output.getvalue().splitlines() == [
        "ingest 300/1000 (30%), 50.0/s, 3 not taken, about 14 s left",
        "ingest 1000/1000 (100%), 100.0/s, 4 not taken, about 0 s left",
    ]


def test_progress_is_a_bar_on_a_terminal() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with JobProgress(console, "ingest", 10) as progress:
        progress.advance(10, 3)
    assert "10/10" in output.getvalue()
    assert "3 not taken" in output.getvalue()
