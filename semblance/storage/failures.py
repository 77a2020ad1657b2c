"""Turns the errors of a picture store into the project's."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

from semblance.errors import NotFoundError, StorageError, StorageFullError, StorageReadOnlyError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})

_ERROR_NUMBER = re.compile(r"\(os error (\d+)\)")
"""How Rust's standard library ends the message of an operating system's error."""

_BUCKET_FULL = re.compile(r"\b507\b|StorageFull|QuotaExceeded", re.IGNORECASE)
"""What S3-compatible servers answer when they are full: 507 (RFC 4918), and the codes of MinIO and Ceph."""


@contextmanager
def failures(key: str) -> Iterator[None]:
    """Wrap the store's errors, once. If something is not found here, it is the bucket as a whole."""
    try:
        yield
    except (BaseError, OSError, NotImplementedError) as exc:
        raise failure(exc)(f"The picture store failed at {key}: {first_line(exc)}") from exc


@contextmanager
def looking_up(key: str) -> Iterator[None]:
    """As `failures`, but raises NotFoundError if the key is not found."""
    with failures(key):
        try:
            yield
        except FileNotFoundError as exc:
            raise NotFoundError(f"There is no picture {key}.") from exc


def failure(error: Exception) -> type[StorageError]:
    """The class for an error. The library wraps the system's errors and keeps only their message."""
    found = _ERROR_NUMBER.search(str(error))
    number = int(found[1]) if found else getattr(error, "errno", None)
    if number in _FULL or _BUCKET_FULL.search(str(error)):
        return StorageFullError
    return StorageReadOnlyError if number in _READ_ONLY else StorageError


def first_line(error: Exception) -> str:
    """The store's own message, without the debug dump that follows it."""
    return str(error).partition("\n")[0]
