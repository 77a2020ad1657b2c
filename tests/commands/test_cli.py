from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from shlex import quote

import pytest

from deployments.packs.registry import find_pack
from ops.commands.ray_jobs.jobs import ingestion_command
from ops.stack.home import StackHome
from semblance.lock import ProcessLock
from semblance.settings import Settings
from tests.support.commands import semblance

SEMBLANCE = Path(sys.executable).with_name("semblance")
COMMANDS = (
    "up",
    "down",
    "status",
    "demo",
    "migrate",
    "ingest",
    "models",
    "jobs",
    "token",
    "keys",
    "storage",
    "worker",
    "rescore",
    "doctor",
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SEMBLANCE_", "RAY_"))}
    return kept | {"SEMBLANCE_HOME": str(tmp_path / "home"), "COLUMNS": "200", "NO_COLOR": "1"}


def _run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return semblance(*arguments, environment=environment)


def test_help_names_every_command(environment: dict[str, str]) -> None:
    """The executable itself is run; other tests call its functions."""
    help_text = subprocess.run(
        [SEMBLANCE, "--help"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert help_text.returncode == 0
    assert all(command in help_text.stdout for command in COMMANDS)


def test_help_imports_nothing_slow(environment: dict[str, str]) -> None:
    code = """
import sys
from ops.commands.app import app
slow = {"ray", "numpy", "cv2", "onnxruntime", "fastapi", "asyncpg", "httpx"}
sys.exit(" ".join(slow & set(sys.modules)) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(environment: dict[str, str], command: str) -> None:
    done = _run(environment, command, "--help")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) > 5


@pytest.mark.parametrize("command", [(), ("up",), ("ingest",), ("keys", "create"), ("storage", "sweep")])
def test_help_fits_a_terminal_of_80_columns(environment: dict[str, str], command: tuple[str, ...]) -> None:
    """Prose breaks where the terminal ends, not also where the source does; examples are short enough."""
    wide, narrow = (
        [line.rstrip() for line in help_text.partition("╭─")[0].splitlines()]
        for help_text in (
            _run(environment | {"COLUMNS": columns}, *command, "--help").stdout for columns in ("1000", "80")
        )
    )
    prose = ["" if line.startswith("   ") else line for line in wide]
    assert not [pair for pair in itertools.pairwise(prose) if all(pair)]
    if not command:
        assert [line for line in wide if line.startswith("   ")] == [
            line for line in narrow if line.startswith("   ")
        ]
        assert "packages" in next(line for line in narrow if "semblance demo" in line)


@pytest.mark.parametrize("command", [("up", "--detach"), ("migrate",)])
def test_a_full_disk_is_said_in_a_sentence(
    environment: dict[str, str], small_disk: Path, command: tuple[str, ...]
) -> None:
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    done = _run(environment | {"SEMBLANCE_HOME": str(small_disk / "home")}, *command)
    assert done.returncode == 1
    assert "The disk is full" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "command"),
    [("lock", ("down",)), ("lock", ("keys", "list")), ("state.json", ("down",))],
)
def test_a_folder_in_the_place_of_a_file_is_named(
    environment: dict[str, str], name: str, command: tuple[str, ...]
) -> None:
    folder = Path(environment["SEMBLANCE_HOME"], name)
    folder.mkdir(parents=True)
    done = _run(environment, *command)
    assert done.returncode == 1
    assert f"{folder} cannot be used: Is a directory." in done.stderr
    assert "Traceback" not in done.stderr


def test_status_without_a_stack(environment: dict[str, str]) -> None:
    done = _run(environment, "status", "--json")
    assert done.returncode == 3
    state = json.loads(done.stdout)
    assert state["ready"] is False
    assert state["url"] is None
    assert state["home"] == environment["SEMBLANCE_HOME"]


def test_commands_that_need_a_stack_say_how_to_start_one(environment: dict[str, str]) -> None:
    done = _run(environment, "ingest", "nowhere")
    assert done.returncode == 1
    assert "semblance up --detach" in done.stderr
    assert "Traceback" not in done.stderr


def test_down_with_nothing_to_stop_succeeds(environment: dict[str, str]) -> None:
    done = _run(environment, "down")
    assert done.returncode == 0
    assert "Nothing was running" in done.stdout


def test_an_invalid_setting_is_named(environment: dict[str, str]) -> None:
    done = _run(environment | {"SEMBLANCE_PORT": "many"}, "status")
    assert done.returncode == 1
    assert "SEMBLANCE_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_creates_the_embedded_schema_and_stops_its_server(environment: dict[str, str]) -> None:
    first, again = _run(environment, "migrate"), _run(environment, "migrate")
    assert first.returncode == 0, first.stderr
    assert "revision" in first.stdout
    assert again.stdout == first.stdout
    assert not list(Path(environment["SEMBLANCE_HOME"]).rglob("postmaster.pid"))


def test_models_are_listed_shown_and_verified(environment: dict[str, str]) -> None:
    assert "open" in _run(environment, "models", "list").stdout
    shown = _run(environment, "models", "show").stdout
    assert "MIT" in shown
    assert "yunet.onnx" in shown
    assert "intact" in _run(environment, "models", "verify").stdout


def test_a_damaged_file_of_a_pack_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    damaged = tmp_path / "packs" / "damaged"
    shutil.copytree(find_pack("open", Settings()), damaged)
    file = next(damaged.glob("*.onnx"))
    file.write_bytes(file.read_bytes()[:-1])
    verified = _run(environment, "models", "verify", str(damaged))
    assert verified.returncode == 1
    assert file.name in verified.stderr

    examined = _run(environment | {"SEMBLANCE_PACK": str(damaged)}, "doctor")
    assert examined.returncode == 1
    assert file.name in examined.stdout


def test_doctor_finds_no_problem_here(environment: dict[str, str]) -> None:
    done = _run(environment, "doctor")
    assert done.returncode == 0, done.stdout
    for subject in ("Python", "Packages", "Model pack", "Disk", "Memory", "Socket paths", "PostgreSQL"):
        assert f"✓ {subject}" in done.stdout or f"! {subject}" in done.stdout


def test_a_local_source_is_made_absolute_and_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    command = ingestion_command("my photos", ["--limit", "3"])
    assert command == f"{quote(sys.executable)} -P -m batch.ingest '{tmp_path}/my photos' --limit 3"
    assert ingestion_command("s3://bucket/people").endswith(" s3://bucket/people")


def test_the_database_of_a_stack_whose_supervisor_is_being_restarted_is_left_alone(
    environment: dict[str, str],
) -> None:
    home = StackHome(Path(environment["SEMBLANCE_HOME"]))
    home.prepare()
    guardian = ProcessLock(home.guardian_lock_file)
    assert guardian.acquire()
    try:
        refused = _run(environment, "migrate")
    finally:
        guardian.release()
    assert refused.returncode == 1
    assert "starting or stopping" in refused.stderr
