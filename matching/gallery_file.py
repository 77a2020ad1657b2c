"""Arrays in a file that processes share: mapped, not read, and verified by a digest.

The file holds a line of JSON (what the arrays are, and what the writer says about them), the arrays, and the
SHA-256 of both. What a process changes in its arrays it has to itself; the file stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FORMAT = 4
_ALIGNED = 64
_DIGEST = 32

Layout: TypeAlias = Mapping[str, tuple[str, tuple[int, ...]]]
"""The dtype and shape of each array."""

Arrays: TypeAlias = dict[str, NDArray[Any]]


class UnusableFileError(Exception):
    """The file is damaged, or of another format."""


@contextmanager
def written(path: Path, about: Mapping[str, object], layout: Layout) -> Iterator[Arrays]:
    """Arrays for the caller to fill, which then replace the file. Until then nobody sees them.

    Args:
        about: What JSON can hold.
    """
    head = json.dumps({"format": FORMAT, "about": dict(about), "layout": dict(layout)}).encode() + b"\n"
    size = _end(layout, len(head))
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(fd, "r+b") as file:
            _reserve(file.fileno(), size + _DIGEST)
            content = mmap.mmap(file.fileno(), size + _DIGEST)
        content[: len(head)] = head
        yield _arrays(content, layout, len(head))
        content[size:] = _digest(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def mapped(path: Path) -> tuple[dict[str, Any], Arrays]:
    """What the writer said, and the arrays. Raises UnusableFileError and FileNotFoundError."""
    with path.open("rb") as file:
        head = file.readline(2**16)
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            found = json.loads(head)
            usable = found["format"] == FORMAT
        except (ValueError, KeyError, TypeError) as exc:
            raise UnusableFileError(f"{path} does not begin as it should.") from exc
    if not usable or _digest(content) != content[-_DIGEST:]:
        raise UnusableFileError(f"{path} is damaged or of another format.")
    return found["about"], _arrays(content, found["layout"], len(head))


def _reserve(fd: int, size: int) -> None:
    """Give a file its size. Raises OSError if the disk has not so much: in a file with holes, the first write
    to a mapped page without room would end the process."""
    if sys.platform == "darwin":
        os.ftruncate(fd, size)
    else:
        os.posix_fallocate(fd, 0, size)


def _digest(content: mmap.mmap) -> bytes:
    with memoryview(content) as view:
        return hashlib.sha256(view[:-_DIGEST]).digest()


def _arrays(content: mmap.mmap, layout: Layout, start: int) -> Arrays:
    found = {}
    for name, (kind, shape) in layout.items():
        start = _aligned(start)
        dtype = np.dtype(kind)
        found[name] = np.frombuffer(content, dtype, prod(shape), start).reshape(shape)
        start += prod(shape) * dtype.itemsize
    return found


def _end(layout: Layout, start: int) -> int:
    for kind, shape in layout.values():
        start = _aligned(start) + prod(shape) * np.dtype(kind).itemsize
    return start


def _aligned(place: int) -> int:
    return -(-place // _ALIGNED) * _ALIGNED
