"""Restarts the supervisor of a detached stack: `… -m ops.stack.guardian LOCK OWN_LOCK STATE COMMAND…`.

The supervisor keeps everything else up, and this process too. The guardian does very little, so that little
can end it: it checks whether the supervisor's lock is held, and runs COMMAND if not. When the stack is
stopped, the guardian is ended first.
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

_LOOK_SECONDS = 0.5
_STUCK_LOOKS = 60
"""A supervisor touches its lock every second. If the lock is unchanged for this many checks, the supervisor
is killed. Checks, not seconds: when a machine is paused, both processes are."""
_LONGEST_PAUSE = 30.0
_WELL_SECONDS = 60.0


def guard(lock_file: Path, own: ProcessLock, state_file: Path, command: list[str]) -> None:
    """Watch until the state file or the home of the stack is removed. `own` is held by this process."""
    lock = ProcessLock(lock_file)
    child: subprocess.Popen[bytes] | None = None
    beat, unchanged = 0, 0
    pause, next_start = 1.0, 0.0
    while state_file.exists() and lock_file.exists():
        time.sleep(_LOOK_SECONDS)
        now = time.monotonic()
        if lock.is_held():
            # Compare for changes, not for age: the clock may be set.
            if (seen := lock_file.stat().st_mtime_ns) != beat:
                beat, unchanged = seen, 0
            elif (unchanged := unchanged + 1) >= _STUCK_LOOKS:
                unchanged = 0
                if _can_beat(own) and (holder := lock.holder()):
                    with suppress(ProcessLookupError):
                        os.kill(holder, signal.SIGKILL)
            if now - next_start > _WELL_SECONDS:
                pause = 1.0
        elif (child is None or child.poll() is not None) and now >= next_start:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
            )
            unchanged, next_start = 0, now + pause
            pause = min(2 * pause, _LONGEST_PAUSE)


def _can_beat(own: ProcessLock) -> bool:
    """Whether the disk takes new timestamps. If it does not, a healthy supervisor looks as if it hangs."""
    try:
        own.beat()
    except OSError:
        return False
    return True


def main() -> int:
    own = ProcessLock(Path(sys.argv[2]))
    if not own.acquire():
        return 0
    guard(Path(sys.argv[1]), own, Path(sys.argv[3]), sys.argv[4:])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
