"""A lock on a file that tells whether a process is alive. Imports only the standard library."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

_ACQUIRE_SECONDS = 1.0
_ACQUIRE_POLL = 0.02


class ProcessLock:
    """Held by one process for its whole life: the kernel releases it however the process ends.

    So it tells whether that process is still running. A pid does not (another process can get it), and
    neither does a start time (the clock can be set).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if another process holds it. Raises OSError for a link: its target would be
        emptied."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        # A process that asks for the holder keeps the lock for an instant.
        deadline = time.monotonic() + _ACQUIRE_SECONDS
        while not _try_flock(fd, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(fd)
                return False
            time.sleep(_ACQUIRE_POLL)
        self._own(fd)
        return True

    def wait(self) -> None:
        """Take the lock as soon as its holder has ended. Blocks without using the processor."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._own(fd)

    def is_held(self) -> bool:
        """Whether any process holds the lock."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two processes can ask at the same time.
            return not _try_flock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def holder(self) -> int | None:
        """The pid that holds the lock, or None if it is free."""
        if not self.is_held():
            return None
        content = self._path.read_text()
        return int(content) if content.isdigit() else None

    def beat(self) -> None:
        """Update the file's time, by which others see that the holder is not stuck.

        Raises OSError if the disk takes no writes.
        """
        if self._fd is not None:
            os.utime(self._fd)

    def _own(self, fd: int) -> None:
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            # Otherwise the next holder would pass for this process until it has written its own pid.
            with suppress(OSError):
                os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def _try_flock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
