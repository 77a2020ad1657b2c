"""The guardian runs its command when the lock it watches is free, and ends a holder that is stuck."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from ops.stack import guardian as module
from semblance.lock import ProcessLock
from tests.support.waiting import PATIENCE_S, wait_for

HOLD = (
    "import sys, time; from pathlib import Path; from semblance.lock import ProcessLock\n"
    "lock = ProcessLock(Path(sys.argv[1])); lock.acquire()\n"
    "while True: time.sleep(0.1); lock.beat()"
)


@pytest.fixture
def lock(tmp_path: Path) -> ProcessLock:
    lock = ProcessLock(tmp_path / "lock")
    assert lock.acquire()
    lock.release()
    return lock


@pytest.fixture
def guardian(tmp_path: Path, lock: ProcessLock) -> Iterator[subprocess.Popen[bytes]]:
    """A guardian whose command holds the lock and beats."""
    state = tmp_path / "state.json"
    state.touch()
    locks = [str(tmp_path / "lock"), str(tmp_path / "guardian.lock"), str(state)]
    command = [sys.executable, "-c", HOLD, locks[0]]
    guard = (
        "from ops.stack import guardian\n"
        "guardian._STUCK_LOOKS = 8; guardian._LONGEST_PAUSE = 0.1\n"
        "raise SystemExit(guardian.main())"
    )
    arguments = [sys.executable, "-c", guard, *locks, *command]
    with subprocess.Popen(arguments, start_new_session=True) as process:
        yield process
        # The standby, too.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if (holder := lock.holder()) is not None:
            os.kill(holder, signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_holder_that_dies_or_hangs_is_replaced(
    guardian: subprocess.Popen[bytes], lock: ProcessLock, how: signal.Signals
) -> None:
    wait_for(lambda: lock.holder() is not None)
    first = lock.holder()
    assert first is not None
    os.kill(first, how)
    wait_for(lambda: lock.holder() not in {first, None})
    assert guardian.poll() is None


def test_only_one_guardian_runs(guardian: subprocess.Popen[bytes], tmp_path: Path) -> None:
    own = ProcessLock(tmp_path / "guardian.lock")
    wait_for(lambda: own.holder() == guardian.pid)
    locks = [str(tmp_path / name) for name in ("lock", "guardian.lock", "state.json")]
    again = [sys.executable, "-m", "ops.stack.guardian", *locks, "true"]
    assert subprocess.run(again, check=False, timeout=PATIENCE_S).returncode == 0
    assert own.holder() == guardian.pid


def test_a_standby_takes_over(guardian: subprocess.Popen[bytes], lock: ProcessLock, tmp_path: Path) -> None:
    """As when the guardian dies while the supervisor, which would restart it, hangs."""
    own = ProcessLock(tmp_path / "guardian.lock")
    killed: set[int | None] = {None}
    # Twice: the standby has a standby.
    for _ in range(2):
        wait_for(lambda: own.holder() not in killed)
        holder = own.holder()
        assert holder is not None
        _standby(holder)
        killed.add(holder)
        os.kill(holder, signal.SIGKILL)
    wait_for(lambda: own.holder() not in killed and lock.holder() is not None)
    first = lock.holder()
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: lock.holder() not in {first, None})


def test_a_standby_that_dies_is_replaced(guardian: subprocess.Popen[bytes]) -> None:
    first = _standby(guardian.pid)
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: _standby(guardian.pid) != first)


def _standby(guardian: int) -> int:
    """The standby of a guardian, as soon as it has one that waits for its turn."""
    found: list[int] = []

    def look() -> bool:
        for child in psutil.Process(guardian).children():
            with suppress(psutil.Error):
                if "--standby" in child.cmdline():
                    found.append(child.pid)
        return bool(found)

    wait_for(look)
    return found[0]


@pytest.mark.parametrize("gone", ["state.json", "lock"])
def test_it_ends_with_the_stack(
    guardian: subprocess.Popen[bytes], tmp_path: Path, lock: ProcessLock, gone: str
) -> None:
    wait_for(lambda: lock.holder() is not None)
    holder = lock.holder()
    (tmp_path / gone).unlink()
    guardian.wait(PATIENCE_S)
    wait_for(lambda: not _group(guardian.pid))
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    assert guardian.returncode == 0


def _group(leader: int) -> bool:
    """Whether the guardian or its standby is alive."""
    with suppress(ProcessLookupError):
        os.killpg(leader, 0)
        return True
    return False


HOLD_STILL = (
    "import sys, time; from pathlib import Path; from semblance.lock import ProcessLock\n"
    "lock = ProcessLock(Path(sys.argv[1])); lock.acquire(); time.sleep(600)"
)


class Disk(ProcessLock):
    """The guardian's own lock, on a disk that refuses writes."""

    def beat(self) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.fixture
def guarded(
    tmp_path: Path, lock: ProcessLock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[ProcessLock, int], bool]]:
    """Guards a holder that never beats, for some checks; returns whether it is alive. Each check takes
    an hour by the clock, as on a machine that is paused repeatedly."""
    with subprocess.Popen([sys.executable, "-c", HOLD_STILL, str(tmp_path / "lock")]) as holder:
        wait_for(lambda: lock.holder() == holder.pid)

        killed: list[int] = []
        kill = os.kill

        def noted(pid: int, number: int) -> None:
            killed.append(pid)
            kill(pid, number)

        monkeypatch.setattr(os, "kill", noted)

        def guard(own: ProcessLock, looks: int) -> bool:
            state = tmp_path / "state.json"
            state.touch()
            hours = 0

            def sleep(_seconds: float) -> None:
                nonlocal hours
                hours += 1
                if hours >= looks:
                    state.unlink()

            clock = SimpleNamespace(sleep=sleep, monotonic=lambda: 3600.0 * hours)
            monkeypatch.setattr(module, "time", clock)
            module.guard(tmp_path / "lock", own, state, ["true"], ["true"])
            if holder.pid in killed:
                # Which frees the lock.
                wait_for(lambda: not lock.is_held())
            return lock.is_held()

        yield guard
        holder.kill()


def test_checks_are_counted_not_hours(tmp_path: Path, guarded: Callable[[ProcessLock, int], bool]) -> None:
    own = ProcessLock(tmp_path / "guardian.lock")
    assert own.acquire()
    assert guarded(own, module._STUCK_LOOKS - 1)
    assert not guarded(own, module._STUCK_LOOKS + 1)
    own.release()


def test_a_disk_that_refuses_writes_makes_no_holder_stuck(
    tmp_path: Path, guarded: Callable[[ProcessLock, int], bool]
) -> None:
    assert guarded(Disk(tmp_path / "guardian.lock"), 3 * module._STUCK_LOOKS)


def test_a_released_lock_names_nobody(tmp_path: Path, lock: ProcessLock) -> None:
    assert lock.acquire()
    assert lock.holder() == os.getpid()
    lock.release()
    assert (tmp_path / "lock").read_text() == ""
