"""Restarts the supervisor of a detached stack.

`… -m ops.stack.guardian [--standby] LOCK OWN_LOCK STATE COMMAND…`

The supervisor keeps everything else up, and this process too. The guardian does very little, so that little
can end it: it checks whether the supervisor's lock is held, and runs COMMAND if not. A supervisor that hangs
restarts nothing, so the guardian also keeps a standby of itself, which takes over its lock. When the stack is
stopped, both are ended first.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from semblance.lock import ProcessLock

_STANDBY = "--standby"
_LOOK_SECONDS = 0.5
_STUCK_LOOKS = 60
"""A supervisor touches its lock every second. If the lock is unchanged for this many checks, the supervisor
is killed. Checks, not seconds: when a machine is paused, both processes are."""
_LONGEST_PAUSE = 30.0
_WELL_SECONDS = 60.0


class _Child:
    """A command that is started when it is due, with a longer pause after each start that was in vain."""

    def __init__(self, command: list[str], *, own_session: bool) -> None:
        self._command = command
        self._own_session = own_session
        self._process: subprocess.Popen[bytes] | None = None
        self._pause, self._next_start = 1.0, 0.0

    def is_due(self) -> bool:
        ended = self._process is None or self._process.poll() is not None
        return ended and time.monotonic() >= self._next_start

    def start(self) -> None:
        # A machine without memory or free process ids refuses; it may have some at the next check.
        with suppress(OSError):
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=self._own_session,
            )
        self._next_start = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def settle(self) -> None:
        """Called while it runs: after a while, the next start need not wait."""
        if time.monotonic() - self._next_start > _WELL_SECONDS:
            self._pause = 1.0

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def guard(
    lock_file: Path, own: ProcessLock, state_file: Path, command: list[str], standby: list[str]
) -> None:
    """Watch until the state file or the home of the stack is removed. `own` is held by this process."""
    lock = ProcessLock(lock_file)
    supervisor = _Child(command, own_session=True)
    # In this session, by which all guardians are found.
    deputy = _Child(standby, own_session=False)
    beat, unchanged = 0, 0
    while state_file.exists() and lock_file.exists():
        if deputy.is_due():
            deputy.start()
        else:
            deputy.settle()
        time.sleep(_LOOK_SECONDS)
        if lock.is_held():
            # Compare for changes, not for age: the clock may be set.
            if (seen := lock_file.stat().st_mtime_ns) != beat:
                beat, unchanged = seen, 0
            elif (unchanged := unchanged + 1) >= _STUCK_LOOKS:
                unchanged = 0
                if _can_beat(own) and (holder := lock.holder()):
                    with suppress(ProcessLookupError):
                        os.kill(holder, signal.SIGKILL)
            supervisor.settle()
        elif supervisor.is_due():
            supervisor.start()
            unchanged = 0
    deputy.end()


def _can_beat(own: ProcessLock) -> bool:
    """Whether the disk takes new timestamps. If it does not, a healthy supervisor looks as if it hangs."""
    try:
        own.beat()
    except OSError:
        return False
    return True


def main() -> int:
    arguments = sys.argv[1:]
    waits = arguments[0] == _STANDBY
    lock_file, own_file, state_file, *command = arguments[waits:]
    own = ProcessLock(Path(own_file))
    if waits:
        own.wait()
    elif not own.acquire():
        return 0
    standby = [
        *(sys.executable, "-P", "-m", "ops.stack.guardian", _STANDBY),
        *(lock_file, own_file, state_file),
        *command,
    ]
    guard(Path(lock_file), own, Path(state_file), command, standby)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
