"""The guardian runs its command whenever the lock it looks at is free, and ends a holder that is stuck."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semblance.stack.lock import ProcessLock
from tests.support.waiting import wait_for

HOLD = (
    "import sys, time; from pathlib import Path; from semblance.stack.lock import ProcessLock\n"
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
    """One whose command holds the lock and beats."""
    state = tmp_path / "state.json"
    state.touch()
    locks = [str(tmp_path / "lock"), str(tmp_path / "guardian.lock"), str(state)]
    command = [sys.executable, "-c", HOLD, locks[0]]
    guard = (
        "from semblance.stack import guardian\n"
        "guardian._STUCK_SECONDS = 1.0; guardian._LONGEST_PAUSE = 0.1\n"
        "raise SystemExit(guardian.main())"
    )
    with subprocess.Popen([sys.executable, "-c", guard, *locks, *command]) as process:
        yield process
        process.kill()
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


def test_there_is_one_of_it(guardian: subprocess.Popen[bytes], tmp_path: Path) -> None:
    own = ProcessLock(tmp_path / "guardian.lock")
    wait_for(lambda: own.holder() == guardian.pid)
    locks = [str(tmp_path / name) for name in ("lock", "guardian.lock", "state.json")]
    again = [sys.executable, "-m", "semblance.stack.guardian", *locks, "true"]
    assert subprocess.run(again, check=False, timeout=30).returncode == 0
    assert own.holder() == guardian.pid


@pytest.mark.parametrize("gone", ["state.json", "lock"])
def test_it_ends_with_the_stack(
    guardian: subprocess.Popen[bytes], tmp_path: Path, lock: ProcessLock, gone: str
) -> None:
    wait_for(lambda: lock.holder() is not None)
    holder = lock.holder()
    (tmp_path / gone).unlink()
    guardian.wait(30)
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    assert guardian.returncode == 0
