"""Whole stacks, started by the command as a user would. Slow: each start takes some 20 seconds."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from ops.commands.photos import PORTRAIT, package_photo
from ops.stack.embedded import EmbeddedPostgres
from ops.stack.home import StackHome, StackLock
from ops.stack.processes import members
from ops.stack.state import read_state
from semblance.settings import Settings
from tests.support.waiting import wait_for

PROGRAMS = Path(sys.executable).parent
PATIENCE = 300.0

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


class Stack:
    """A separate home, and the commands of an installation on it."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._programs = programs
        self._folder = folder.parent
        self.home = StackHome.of(Settings(home=folder))
        # The environment of the tests must not reach the stacks: another database, another Ray.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SEMBLANCE_", "RAY_", "PYTHON"))
        }
        self.environment = kept | {"SEMBLANCE_HOME": str(folder), "COLUMNS": "120"}

    def run(self, *arguments: str, expect: int = 0) -> str:
        return self._output("semblance", arguments, self.environment, expect)

    def ray(self, *arguments: str) -> str:
        """Ray's own command, as a user calls it after `semblance env`."""
        lines = self.run("env").splitlines()
        names = dict(
            line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export ")
        )
        ours = {name: shlex.split(value)[0] for name, value in names.items()}
        return self._output("ray", arguments, self.environment | ours)

    def _output(self, program: str, arguments: Sequence[str], env: dict[str, str], expect: int = 0) -> str:
        done = subprocess.run(
            [*self._command(program), *arguments],
            env=env,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}: {done.stdout}\n{self._log()}"
        return done.stdout

    def start(self, *arguments: str, stderr: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command("semblance"), *arguments],
            env=self.environment,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            bufsize=1,
        )

    def _command(self, program: str) -> list[Path]:
        # The first line of a program would name the interpreter by another path.
        return [self._programs / "python", self._programs / program]

    def status(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.run("status", "--json"))
        return state

    def is_gone(self) -> bool:
        return (
            not members(self.home.stack_id)
            and not EmbeddedPostgres(self.home.postgres).is_running()
            and not self.home.state_file.exists()
            and not self.home.short_ray.is_symlink()
            and StackLock(self.home).holder() is None
        )

    def wait_gone(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.is_gone():
            assert time.monotonic() < deadline, f"left: {members(self.home.stack_id)}\n{self._log()}"
            time.sleep(0.2)

    def _log(self) -> str:
        log = self.home.supervisor_log
        return log.read_text()[-2000:] if log.exists() else ""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Of an environment whose path a shell would split."""
    environment = tmp_path / "an environment"
    environment.symlink_to(PROGRAMS.parent)
    stack = Stack(tmp_path / "one", environment / PROGRAMS.name)
    yield stack
    stack.run("down")


@pytest.fixture
def neighbour(tmp_path: Path, installed: Path) -> Iterator[Stack]:
    """Of an installed wheel, without the checkout."""
    stack = Stack(tmp_path / "two", installed)
    yield stack
    stack.run("down")


def _wait_line(process: subprocess.Popen[str], part: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if part in line:
            return
    pytest.fail(f"The command ended without printing {part!r}.")


def _compare(state: dict[str, Any], key: str) -> httpx.Response:
    embedding = [1.0, *[0.0] * 511]
    return httpx.post(
        f"{state['url']}/compare-faces",
        headers={"Authorization": f"Bearer {key}"},
        json={"embedding_a": embedding, "embedding_b": embedding},
        timeout=PATIENCE,
        trust_env=False,
    )


def _take_down_under_an_ingestion(stack: Stack, photos: Path) -> None:
    """The command that follows it reports this in a sentence, and ends with a particular status."""
    photos.mkdir()
    for number in range(40):
        (photos / f"{number}.png").symlink_to(package_photo(*PORTRAIT))
    ingest = ("ingest", "--follow-links", "--batch-size", "1", str(photos))
    with stack.start(*ingest, stderr=subprocess.PIPE) as ingestion:
        _wait_line(ingestion, "40 inputs")
        stack.run("down")
        _, error = ingestion.communicate(timeout=PATIENCE)
    assert ingestion.returncode == 3, error
    assert "The service was stopped, which ended the job" in error
    assert "Traceback" not in error


def test_two_stacks_live_side_by_side_and_one_outlives_the_other(
    stack: Stack, neighbour: Stack, tmp_path: Path
) -> None:
    """The other one is an installed wheel that runs as the main process of a service: it heals, is killed,
    serves the same data again, and ends."""
    with stack.start("up", "--detach") as first, neighbour.start("up") as main:
        # As `head` does.
        _wait_line(first, "✓ Ray")
        assert first.stdout is not None
        first.stdout.close()
        _wait_line(main, "Ctrl-C stops everything")
        first.wait(PATIENCE)

        states = stack.status(), neighbour.status()
        assert all(state["ready"] for state in states)
        for field in ("url", "docs_url", "dashboard_url", "database_url", "api_key", "pid", "home"):
            assert states[0][field] != states[1][field]
        assert _compare(states[0], states[0]["api_key"]).status_code == HTTPStatus.OK
        assert _compare(states[0], states[1]["api_key"]).status_code == HTTPStatus.UNAUTHORIZED
        health = httpx.get(f"{states[1]['url']}/health", timeout=PATIENCE, trust_env=False)
        assert health.json() == {"status": "healthy", "model": "open"}
        # Ray's dashboard runs code for everyone who can reach it, so it must not be public.
        jobs = httpx.get(f"{states[0]['dashboard_url']}/api/jobs/", timeout=PATIENCE, trust_env=False)
        assert jobs.status_code == HTTPStatus.UNAUTHORIZED

        with ThreadPoolExecutor(1) as threads:
            healing = threads.submit(_let_a_main_process_heal, neighbour, main)
            assert "Already up" in stack.run("up", "--detach")
            assert stack.status()["pid"] == states[0]["pid"]
            stack.run("doctor")
            assert "succeeded" in stack.ray("job", "submit", "--", "echo", "started by hand")
            healing.result()

        _take_down_under_an_ingestion(stack, tmp_path / "photos")
        assert stack.is_gone()
        assert not json.loads(stack.run("status", "--json", expect=3))["ready"]
        assert neighbour.status()["ready"]

        _kill(neighbour, main)
    _repair_and_end(neighbour, states[1]["api_key"])


def _let_a_main_process_heal(stack: Stack, main: subprocess.Popen[str]) -> None:
    before = stack.status()

    # Its supervisor dies. Another one takes over the running parts, at the same address.
    os.kill(before["pid"], signal.SIGKILL)
    _wait_line(main, "it is restarted")
    wait_for(lambda: (state := read_state(stack.home)) is not None and state.pid != before["pid"])
    assert "Already up" in stack.run("up")
    assert stack.status()["url"] == before["url"]


def _kill(stack: Stack, main: subprocess.Popen[str]) -> None:
    """Both of its processes that could end or restart the others. PostgreSQL hangs."""
    stack.run("keys", "create", "--name", "kept")
    postmaster = int((stack.home.postgres / "data" / "postmaster.pid").read_text().split()[0])
    supervisor = stack.status()["pid"]
    for pid in (postmaster, supervisor):
        os.kill(pid, signal.SIGSTOP)
    for pid in (main.pid, supervisor):
        os.kill(pid, signal.SIGKILL)
    main.wait(PATIENCE)
    assert "left over from a stack that was killed" in stack.run("doctor", expect=1)
    assert "semblance up" in stack.run("status", expect=3)


def _repair_and_end(stack: Stack, api_key: str) -> None:
    """As a service manager does: it restarts a stack whenever it ends, and stops it by SIGTERM."""
    with stack.start("up") as main:
        _wait_line(main, "Ctrl-C stops everything")
        after = stack.status()
        assert (after["ready"], after["problems"], after["api_key"]) == (True, [], api_key)
        assert "kept" in stack.run("keys", "list")
        main.send_signal(signal.SIGTERM)
        assert main.wait(PATIENCE) == 0
    assert stack.is_gone()


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGKILL])
def test_a_stack_whose_command_ends_while_it_starts_leaves_nothing(
    stack: Stack, ends: signal.Signals
) -> None:
    with stack.start("up") as starting:
        _wait_line(starting, "PostgreSQL")
        starting.send_signal(ends)
        assert starting.wait(PATIENCE) == (0 if ends == signal.SIGINT else -signal.SIGKILL)
    # A command that is killed cannot wait for the rest.
    if ends == signal.SIGKILL:
        stack.wait_gone()
    assert stack.is_gone()


def test_a_start_waits_for_the_end_of_the_stack_before(stack: Stack) -> None:
    """That takes along all that belongs to the stack, and would this one, too."""
    with stack.start("up") as killed:
        _wait_line(killed, "✓ Ray")
        killed.kill()
    assert "Ready" in stack.run("up", "--detach")
    with stack.start("down") as ending:
        wait_for(lambda: not stack.home.state_file.exists())
        assert "Ready" in stack.run("up", "--detach")
    assert ending.returncode == 0
    assert stack.status()["ready"]


def test_a_stack_that_cannot_start_says_why_and_leaves_nothing(stack: Stack) -> None:
    stack.environment["SEMBLANCE_PACK"] = "no-such-pack"
    failure = stack.run("up", "--detach", expect=1)
    assert "no-such-pack" in failure
    assert str(stack.home.supervisor_log) in failure
    assert stack.is_gone()
