"""Following a Ray job while its service stops, restarts or is cut off. A server that answers like Ray's
dashboard stands in for Ray, so each interruption can be timed."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from aiohttp import web
from typer.testing import CliRunner

import ops.stack.jobs
from batch.ingest.__main__ import main as ingest_main
from ops.commands import app as commands
from ops.commands.ray_jobs import jobs as job_commands
from ops.commands.ray_jobs.jobs import follow_job
from ops.stack.jobs import Jobs
from ops.stack.state import StackState
from semblance.errors import NotFoundError, RayRefusedError, RayUnreachableError
from semblance.settings import Settings
from tests.support.waiting import PATIENCE_S

PREAMBLE = "2026 Ray's own words\nRunning entrypoint for job raysubmit_1: python\n"
LINES = [f"line {number}\n" for number in range(4)]


@dataclass
class Dashboard:
    """One job. breaks: after how many chunks each connection to its log breaks; then none does any more.
    on_break: called then. status: of the job while its log is open, and `ends` after it was read whole."""

    url: str = ""
    breaks: list[int] = field(default_factory=list)
    on_break: Callable[[], None] = lambda: None
    status: str = "RUNNING"
    ends: str = "SUCCEEDED"
    fails_with: int = 7
    answers: int = 200
    connections: int = 0

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": "4", "ray_version": "2.56.0", "ray_commit": "x"})

    async def job(self, request: web.Request) -> web.Response:
        if self.answers != 200 or request.match_info["id"] != "raysubmit_1":
            return web.Response(status=self.answers if self.answers != 200 else 404, text="no such job")
        exit_code = {"SUCCEEDED": 0, "FAILED": self.fails_with}.get(self.status)
        return web.json_response(
            {
                "type": "SUBMISSION",
                "submission_id": "raysubmit_1",
                "entrypoint": "python",
                "status": self.status,
                "driver_exit_code": exit_code,
                "message": "",
            }
        )

    async def submit(self, _: web.Request) -> web.Response:
        return web.Response(status=self.answers, text="no such job")

    async def log(self, request: web.Request) -> web.WebSocketResponse:
        self.connections += 1
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        chunks = [PREAMBLE, *LINES]
        until = self.breaks.pop(0) if self.breaks else None
        for chunk in chunks[:until]:
            await socket.send_str(chunk)
        if until is None:
            self.status = self.ends
            await socket.close()
        else:
            self.on_break()
            # As when the process is killed: without a closing frame.
            assert request.transport is not None
            request.transport.abort()
        return socket


@pytest.fixture
def dashboard() -> Iterator[Dashboard]:
    served = Dashboard()
    started = threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        application = web.Application()
        application.router.add_get("/api/version", served.version)
        application.router.add_post("/api/jobs/", served.submit)
        application.router.add_get("/api/jobs/{id}", served.job)
        application.router.add_get("/api/jobs/{id}/logs/tail", served.log)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def run() -> None:
        runner = loop.run_until_complete(serve())
        started.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(PATIENCE_S)
    yield served
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


@dataclass
class StackOfJobs:
    """The stack as the commands see it. running: whether its supervisor is alive."""

    state: StackState
    running: bool = True

    def read_state(self, _: object) -> StackState | None:
        return self.state if self.running else None


@pytest.fixture
def stack(dashboard: Dashboard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StackOfJobs]:
    token = tmp_path / "token"
    token.write_text("t" * 64)
    known: dict[str, Any] = {"home": tmp_path, "dashboard_url": dashboard.url, "ray_token_file": token}
    state = StackState.model_construct(**known)
    stack = StackOfJobs(state)
    monkeypatch.setattr(ops.stack.jobs, "read_state", stack.read_state)
    monkeypatch.setattr(ops.stack.jobs, "_POLL", 0.01)
    monkeypatch.setattr(job_commands, "require_running", lambda _: state)
    # `Jobs` gives its process the environment of Ray's clients, which the next tests must not have.
    with patch.dict(os.environ):
        yield stack


def follow(stack: StackOfJobs) -> tuple[int, str]:
    written: list[str] = []
    status = Jobs(stack.state).follow("raysubmit_1", written.append)
    return status, "".join(written)


def lost(capsys: pytest.CaptureFixture[str]) -> str:
    """What `semblance jobs follow` prints for a lost job, on one line without Rich's wrapping."""
    assert follow_job(Settings(), "raysubmit_1") == 3
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "failed" not in error
    return " ".join(error.split())


def test_the_log_is_complete_and_without_lines_of_ray(stack: StackOfJobs) -> None:
    assert follow(stack) == (0, "".join(LINES))


def test_a_broken_connection_is_restored_and_the_log_is_not_repeated(
    stack: StackOfJobs, dashboard: Dashboard
) -> None:
    dashboard.breaks = [0, 1, 3, 2]
    assert follow(stack) == (0, "".join(LINES))
    assert dashboard.connections == 5


@pytest.mark.parametrize(("ended_with", "status"), [(7, 7), (-9, 137)])
def test_a_failed_job_has_its_own_exit_status(
    stack: StackOfJobs, dashboard: Dashboard, ended_with: int, status: int
) -> None:
    """A signal, which Python says as a negative number, is said as a shell does."""
    dashboard.ends, dashboard.fails_with = "FAILED", ended_with
    assert follow(stack) == (status, "".join(LINES))


@pytest.mark.parametrize("seen", ["nothing", "failed", "stopped"])
def test_a_stopped_service_is_reported_in_a_sentence(
    stack: StackOfJobs, dashboard: Dashboard, capsys: pytest.CaptureFixture[str], seen: str
) -> None:
    """Ray may still report how the job ended, or not answer at all."""

    def stop() -> None:
        stack.running = False
        if seen == "nothing":
            dashboard.answers = 500
        else:
            dashboard.status = dashboard.ends = seen.upper()

    dashboard.breaks, dashboard.on_break = [3], stop
    assert "The service was stopped, which ended the job" in lost(capsys)


def test_a_restarted_ray_is_reported_in_a_sentence(
    stack: StackOfJobs, dashboard: Dashboard, capsys: pytest.CaptureFixture[str]
) -> None:
    dashboard.breaks, dashboard.on_break = [3], lambda: setattr(dashboard, "answers", 404)
    assert "Ray was restarted, which ended the job" in lost(capsys)


def test_a_silent_ray_is_reported_in_a_sentence(
    stack: StackOfJobs,
    dashboard: Dashboard,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops.stack.jobs, "_PATIENCE_S", 0.05)
    dashboard.breaks, dashboard.on_break = [3], lambda: setattr(dashboard, "answers", 503)
    assert "semblance jobs follow raysubmit_1" in lost(capsys)


def test_following_continues_when_ray_returns(stack: StackOfJobs, dashboard: Dashboard) -> None:
    def pause() -> None:
        dashboard.answers = 503
        threading.Timer(0.1, setattr, (dashboard, "answers", 200)).start()

    dashboard.breaks, dashboard.on_break = [3], pause
    assert follow(stack) == (0, "".join(LINES))


def test_an_unknown_job_is_named(stack: StackOfJobs) -> None:
    with pytest.raises(NotFoundError, match=r"the job raysubmit_2\. A restart of Ray ends all jobs"):
        Jobs(stack.state).follow("raysubmit_2", print)


def test_interrupting_leaves_the_job_and_says_how_to_stop_it(
    stack: StackOfJobs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job_commands, "_write", lambda _: signal.raise_signal(signal.SIGINT))
    assert follow_job(Settings(), "raysubmit_1") == 130
    error = capsys.readouterr().err
    assert "The job continues" in error
    assert "semblance jobs stop raysubmit_1" in error


def test_closing_the_output_ends_the_following_silently(
    stack: StackOfJobs, dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_: str) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(job_commands, "_write", write)
    ended = CliRunner().invoke(commands.app, ["jobs", "follow", "raysubmit_1"])
    assert (ended.exit_code, ended.output) == (1, "")
    assert dashboard.connections == 1


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("closed")])
def test_an_error_of_the_output_is_not_attributed_to_ray(
    stack: StackOfJobs, dashboard: Dashboard, error: Exception
) -> None:
    def write(_: str) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        Jobs(stack.state).follow("raysubmit_1", write)
    assert dashboard.connections == 1


@pytest.mark.parametrize("status", [400, 403, 413])
def test_a_refusal_by_ray_is_passed_on(stack: StackOfJobs, dashboard: Dashboard, status: int) -> None:
    dashboard.answers = status
    with pytest.raises(RayRefusedError, match=r"Ray refused the request: .*: no such job"):
        Jobs(stack.state).submit("python")
    with pytest.raises(RayRefusedError, match=r"Ray refused the request: .*: no such job"):
        Jobs(stack.state).follow("raysubmit_1", print)


@pytest.mark.parametrize("status", [500, 503])
def test_a_ray_that_is_broken_does_not_answer(stack: StackOfJobs, dashboard: Dashboard, status: int) -> None:
    dashboard.answers = status
    with pytest.raises(RayUnreachableError):
        Jobs(stack.state).submit("python")


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def ingest_source(_: Settings, source: str, options: list[str], *, follow: bool) -> int:
        calls.append((source, options, follow))
        return 0

    monkeypatch.setattr(job_commands, "ingest_source", ingest_source)
    return calls


@pytest.mark.parametrize(
    ("typed", "options"),
    [
        (["photos"], []),
        (["--dry-run", "photos"], ["--dry-run"]),
        (["photos", "--dry-run"], ["--dry-run"]),
        (["--limit", "3", "--detach", "photos", "--largest"], ["--largest", "--limit=3"]),
        (["--exclude", "*.txt", "photos", "--exclude=-x"], ["--exclude=*.txt", "--exclude=-x"]),
        (
            ["--report", "r.jsonl", "--category", "a b", "photos"],
            ["--category=a b", "--report={here}/r.jsonl"],
        ),
    ],
)
def test_options_reach_the_job_in_any_position(
    submitted: list[tuple[Any, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: list[str],
    options: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(commands.app, ["ingest", *typed])
    assert done.exit_code == 0, done.output
    expected = [option.format(here=tmp_path) for option in options]
    assert submitted == [("photos", expected, "--detach" not in typed)]


def test_an_invalid_option_is_refused_before_a_job_is_submitted(submitted: list[tuple[Any, ...]]) -> None:
    done = CliRunner().invoke(commands.app, ["ingest", "--dryrun", "photos"])
    assert done.exit_code == 2
    assert submitted == []


def test_both_commands_have_the_same_options() -> None:
    """Except for following, and for the choice of the Ray cluster, which is that of the stack."""
    import typer  # the job's command is only built when it runs

    job = typer.Typer(add_completion=False)
    job.command()(ingest_main)

    def described(command: Any) -> dict[str, tuple[Any, ...]]:
        return {
            each.name: (each.opts, each.default, each.type.name, getattr(each, "help", None))
            for each in command.params
            if each.name not in {"help", "detach", "address"}
        }

    ours = typer.main.get_command(commands.app).commands["ingest"]  # type: ignore[attr-defined]
    assert described(ours) == described(typer.main.get_command(job))
