"""Files that a crash leaves whole: as they were, or as they were to become."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_file(path: Path, content: str | bytes) -> None:
    """Put a file with this content, mode 0600, in place of whatever `path` is. Once this has returned, a loss
    of power does not undo it."""
    with _written_aside(path, content) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def create_file(path: Path, content: str) -> str:
    """The content of `path`, which this one becomes where there is no such file; as `write_file` otherwise.

    Of several that do so at once, one wins, and all return the same.
    """
    with _written_aside(path, content) as temporary:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return path.read_text()
    sync_folder(path.parent)
    return content


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a loss of power, as fsync of a file does its content."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _written_aside(path: Path, content: str | bytes) -> Iterator[Path]:
    """A file beside `path` whose content is on the disk; removed at the end where it still has its name."""
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
