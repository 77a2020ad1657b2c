"""How a decoder and its process talk: two pipes, which the parent waits for until a deadline, and a buffer
for pixels that both of them see."""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import sys
import time
from collections.abc import Sequence
from io import FileIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

PIPE_BYTES: Final = 1024 * 1024
"""The most that Linux gives an ordinary user. A phone's photo has several MB; with the usual 64 KiB the two
processes would take fifty turns."""

SHARED_BYTES: Final = 8 * 1024 * 1024
"""Pixels of a photo that is reduced for the detector take up to 5 MB. Larger ones go through the pipe."""


class TimedPipes:
    """The pipes of a child process, as its parent holds them. Deadlines are times of `time.monotonic`.

    Every method raises EOFError or OSError when the child has ended, ValueError once the files are closed,
    and TimeoutError at the deadline.
    """

    def __init__(self, answers: FileIO, questions: FileIO) -> None:
        self._answers = answers
        self._questions = questions
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(answers, select.POLLIN)
        self._writable.register(questions, select.POLLOUT)
        for file in (answers, questions):
            os.set_blocking(file.fileno(), False)
        self._ahead = b""

    def write(self, parts: Sequence[bytes], deadline: float) -> None:
        """Write all parts, one after the other."""
        for part in parts:
            left = memoryview(part)
            while left:
                # None: the pipe is full.
                if written := self._questions.write(left):
                    left = left[written:]
                else:
                    _wait(self._writable, deadline)

    def read_line(self, longest: int, deadline: float) -> bytes:
        """The bytes before the next line feed, or the first `longest` ones without one."""
        while b"\n" not in self._ahead and len(self._ahead) < longest:
            _wait(self._readable, deadline)
            read = self._answers.read(longest - len(self._ahead))
            if not read:
                raise EOFError
            self._ahead += read
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line

    def read_into(self, target: memoryview, deadline: float) -> None:
        """Fill all of `target`."""
        begun = min(len(self._ahead), len(target))
        target[:begun], self._ahead = self._ahead[:begun], self._ahead[begun:]
        left = target[begun:]
        while left:
            _wait(self._readable, deadline)
            read = self._answers.readinto(left)
            if not read:
                raise EOFError
            left = left[read:]


def _wait(poll: select.poll, deadline: float) -> None:
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def new_shared_file() -> int | None:
    """A descriptor of SHARED_BYTES of memory for pixels, which a child process can inherit; None if the
    system is not Linux. Neither process can change its size: an access beyond the end would be fatal."""
    if sys.platform != "linux":
        return None
    file = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(file, SHARED_BYTES)
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return file


def shared_pixels(file: int | None) -> NDArray[np.uint8]:
    """The memory of such a descriptor, uint8 [SHARED_BYTES], after which it is closed; empty for None."""
    if file is None:
        return np.empty(0, np.uint8)
    try:
        return np.frombuffer(mmap.mmap(file, SHARED_BYTES), np.uint8)
    finally:
        os.close(file)
