"""How commands find, await and end a stack, with stand-ins for its processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from ops.stack import front
from ops.stack.home import StackHome, StackLock
from ops.stack.processes import STACK_MARK
from ops.stack.state import StackState, write_state
from semblance.errors import StackFailedError
from semblance.lock import ProcessLock
from tests.support.http_server import QuietHandler, serving
from tests.support.waiting import PATIENCE_S, wait_for

HOLD = (
    "import signal, sys, time; from pathlib import Path; from semblance.lock import ProcessLock\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); lock = ProcessLock(Path(sys.argv[1]))\n"
    "time.sleep(float(sys.argv[2])); lock.acquire(); time.sleep(600)"
)


@pytest.fixture
def home(tmp_path: Path) -> StackHome:
    home = StackHome(tmp_path.resolve())
    home.prepare()
    return home


@pytest.fixture
def holder(home: StackHome) -> Iterator[Callable[[float], subprocess.Popen[bytes]]]:
    """Starts a process that takes the lock of the stack after some seconds and ignores SIGTERM."""
    started = []

    def start(seconds: float) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(home.lock_file), str(seconds)],
            env=os.environ | {STACK_MARK: home.stack_id},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("is_second", [True, False])
def test_a_supervisor_that_was_ended_by_another_command_is_not_unexpected(
    home: StackHome,
    holder: Callable[[float], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    is_second: bool,
) -> None:
    if is_second:
        process = holder(0)
        wait_for(lambda: StackLock(home).holder() == process.pid)

    theirs, ours = os.pipe()
    os.close(theirs)
    dying = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"]
    with subprocess.Popen(dying, stdout=subprocess.PIPE, text=True) as supervisor:
        monkeypatch.setattr(front, "_spawn", lambda _: (supervisor, ours))
        started = front.Launch(home)
        if is_second:
            assert started.follow(lambda _: None) is None
        else:
            with pytest.raises(StackFailedError, match=r"stopped from outside .* starts it again"):
                started.follow(lambda _: None)


@pytest.mark.parametrize("gets_ready", [True, False])
def test_who_holds_a_stack_that_is_not_ready_is_waited_for(
    home: StackHome, holder: Callable[[float], subprocess.Popen[bytes]], gets_ready: bool
) -> None:
    process = holder(0)
    wait_for(lambda: StackLock(home).holder() == process.pid)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(front.wait_for_end, home)
        assert not wait([waiting], 0.3).done
        if gets_ready:
            home.state_file.touch()
        else:
            process.kill()
        waiting.result(PATIENCE_S)


@pytest.mark.parametrize("keeper", ["guardian.lock", "command.lock"])
def test_a_stack_stays_in_use_while_its_supervisor_restarts(home: StackHome, keeper: str) -> None:
    home.state_file.touch()
    lock = ProcessLock(home.root / keeper)
    assert lock.acquire()
    assert front.is_run_by_other(home)
    lock.release()
    assert not front.is_run_by_other(home)


def test_remains_of_a_crash_belong_to_nobody(
    home: StackHome, holder: Callable[[float], subprocess.Popen[bytes]]
) -> None:
    """Even if processes are left, because nothing would take them over."""
    assert not front.is_run_by_other(home)
    home.state_file.touch()
    holder(600)
    assert not front.is_run_by_other(home)


def test_a_supervisor_that_does_not_end_is_killed(
    home: StackHome,
    holder: Callable[[float], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_STOP_SECONDS", 0.1)
    process = holder(0)
    wait_for(lambda: StackLock(home).holder() == process.pid)
    home.state_file.touch()
    assert front.stop_stack(home)
    assert not StackLock(home).is_held()
    assert not home.state_file.exists()
    assert not front.stop_stack(home)


def test_a_supervisor_that_starts_meanwhile_is_ended_too(
    home: StackHome,
    holder: Callable[[float], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front, "_STOP_SECONDS", 0.1)
    repair = front.repair

    def late(home: StackHome) -> bool:
        monkeypatch.setattr(front, "repair", repair)
        process = holder(0)
        wait_for(lambda: StackLock(home).holder() == process.pid)
        return repair(home)

    monkeypatch.setattr(front, "repair", late)
    home.state_file.touch()
    assert front.stop_stack(home)
    assert not StackLock(home).is_held()
    assert not home.state_file.exists()


@pytest.mark.parametrize(
    ("status", "checks", "problem"),
    [
        (200, {"queue": "ok"}, None),
        (503, {"queue": "failed: Read only."}, "queue: Read only."),
        (502, {}, None),
    ],
)
def test_what_is_said_of_a_stack_comes_from_one_answer(
    home: StackHome, status: int, checks: dict[str, str], problem: str | None
) -> None:
    asked = []

    class Api(QuietHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.reply(status, json.dumps({"checks": checks}).encode())

    lock = StackLock(home)
    assert lock.acquire()
    try:
        with serving(Api) as url:
            write_state(home, running(home, url))
            sight = front.look(home)
    finally:
        lock.release()
    assert asked == ["/ready"]
    assert sight.ready == (status == 200)
    assert [one.text for one in sight.problems] == ([problem] if problem else [])


def test_a_stack_that_does_not_run_is_not_ready(home: StackHome) -> None:
    assert front.look(home) == front.StackSight(None, (), ready=False)
    write_state(home, running(home, "http://127.0.0.1:1"))
    dead = front.look(home)
    assert (dead.state, dead.ready, [one.part for one in dead.problems]) == (None, False, ["Supervisor"])


def running(home: StackHome, url: str) -> StackState:
    """The state of a stack whose supervisor is this process."""
    return StackState(
        home=home.root,
        url=url,
        docs_url=f"{url}/docs",
        dashboard_url="http://127.0.0.1:2",
        database_url="postgresql://x@/y",
        api_key="key",
        ray_address="127.0.0.1:3",
        ray_token_file=home.ray_token_file,
        pid=os.getpid(),
        ports={},
    )
