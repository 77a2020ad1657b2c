"""Local files that are safe to read: opening one never waits, as a pipe would for its writer."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISDIR, "a folder"),
)


def kind_of(mode: int) -> str | None:
    """The kind of a file that is not a regular one, from its mode; None for a regular file."""
    if stat.S_ISREG(mode):
        return None
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "not a regular file")


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file, following links. Raises OSError at once for everything else."""
    # Checked before, since opening a device may already have an effect, and again after, since the file may
    # have been replaced in between. O_NONBLOCK opens a pipe without waiting for a writer.
    _refuse_irregular(path.stat().st_mode)
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    try:
        _refuse_irregular(os.fstat(file.fileno()).st_mode)
    except OSError:
        file.close()
        raise
    return file


def _refuse_irregular(mode: int) -> None:
    if kind := kind_of(mode):
        raise OSError(errno.EINVAL, f"it is {kind}, not a file")
