from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from ops.stack.processes import STACK_MARK, SUPERVISOR_PART, members, sweep

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
)


@pytest.fixture
def stack_id() -> str:
    return uuid.uuid4().hex[:12]


@pytest.fixture
def family(stack_id: str) -> Iterator[list[int]]:
    """A marked session leader that ignores SIGTERM, its child without the mark, a child of that in another
    session, and an unrelated process."""
    child = [sys.executable, "-c", STUBBORN]
    parent = (
        "import subprocess, sys\n"
        f"inner = subprocess.Popen({child!r}, env={{}}, stdout=subprocess.PIPE)\n"
        f"outer = subprocess.Popen({child!r}, env={{}}, stdout=subprocess.PIPE, start_new_session=True)\n"
        "inner.stdout.readline(), outer.stdout.readline()\n"
        "print(inner.pid, outer.pid, flush=True)\n" + STUBBORN
    )
    with ExitStack() as started:
        leader = started.enter_context(
            subprocess.Popen(
                [sys.executable, "-c", parent],
                env=os.environ | {STACK_MARK: stack_id},
                stdout=subprocess.PIPE,
                start_new_session=True,
                text=True,
            )
        )
        assert leader.stdout is not None
        pids = [leader.pid, *map(int, leader.stdout.readline().split())]
        leader.stdout.readline()
        stranger = started.enter_context(
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        )
        yield [*pids, stranger.pid]
        stranger.kill()
        sweep(stack_id, grace=0)


def test_members_are_marked_processes_their_children_and_their_session(
    stack_id: str, family: list[int]
) -> None:
    assert {process.pid for process in members(stack_id)} == set(family[:3])


def test_a_sweep_spares_a_supervisor_that_is_started_meanwhile(stack_id: str) -> None:
    """It would be started in vain while another command stops the stack."""
    starting = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env=os.environ | {STACK_MARK: f"{stack_id}/{SUPERVISOR_PART}"},
        start_new_session=True,
    )
    try:
        assert {process.pid for process in members(stack_id)} == {starting.pid}
        assert sweep(stack_id, grace=0) == 0
        assert starting.poll() is None
    finally:
        starting.kill()
        starting.wait()


def test_a_sweep_ends_all_of_them_and_nobody_else(stack_id: str, family: list[int]) -> None:
    assert sweep(stack_id, grace=0.3) == 3
    assert members(stack_id) == set()
    os.kill(family[3], 0)


def test_a_sweep_of_nothing_waits_for_nothing(stack_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.stack.processes.time", SimpleNamespace(monotonic=time.monotonic))
    assert sweep(stack_id, grace=600) == 0
