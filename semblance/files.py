"""Files that a crash leaves whole: with their old content, or with the new."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path


def write_file(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by a file with this content and mode. A loss of power after this has returned does not
    undo it."""
    with _written_aside(path, content) as temporary:
        # In spite of any umask.
        temporary.chmod(mode)
        temporary.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, content: str | bytes) -> None:
    """As `write_file`, but an existing file stays as it is. Of several callers at the same time, one wins."""
    with _written_aside(path, content) as temporary, suppress(FileExistsError):
        path.hardlink_to(temporary)
    sync_folder(path.parent)


def open_regular(path: Path) -> BufferedReader:
    """A regular file, opened to be read. Raises OSError for anything else too: a named pipe would wait for a
    writer, and a device may have no end."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return os.fdopen(fd, "rb")


def read_file(path: Path) -> bytes:
    """The content of a regular file; see `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of the content of a regular file; see `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlive a loss of power, as fsync of a file does for its content."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _written_aside(path: Path, content: str | bytes) -> Iterator[Path]:
    """A temporary file next to `path` whose content is on the disk; removed at the end if it still has its
    name."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
