"""Reads one picture from wherever a source says it is, never more of it than the limit."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from obstore.exceptions import BaseError
from obstore.store import S3Store

from semblance.errors import ImageTooLargeError, NotFoundError, UnreadableImageError
from semblance.storage import open_bucket

CHUNK = 1024 * 1024
"""Bytes read from a network at a time, so that a picture over the limit is not loaded to be refused."""

TIMEOUT_S = 30.0
"""Longest silence of a web server."""


def fetch(location: str, max_bytes: int) -> bytes:
    """The file at a path, s3://, https:// or http:// URL.

    Raises NotFoundError, ImageTooLargeError over max_bytes, and UnreadableImageError, with the reason,
    where it cannot be had.
    """
    scheme = urlsplit(location).scheme if "://" in location else ""
    try:
        if scheme == "s3":
            return _from_bucket(location, max_bytes)
        if scheme in {"http", "https"}:
            return _from_web(location, max_bytes)
        return _from_disk(Path(location), max_bytes)
    except FileNotFoundError as exc:
        raise NotFoundError("there is no such file") from exc
    except (OSError, BaseError, httpx.HTTPError) as exc:
        reason = str(exc).partition("\n")[0]
        raise UnreadableImageError(f"it could not be read: {reason or type(exc).__name__}") from exc


def _from_disk(path: Path, max_bytes: int) -> bytes:
    with path.open("rb") as file:
        # A byte more than allowed tells a file that grew, or a device without a size, from one that fits.
        data = file.read(max_bytes + 1)
    return _joined([data], max_bytes)


def _from_bucket(url: str, max_bytes: int) -> bytes:
    parts = urlsplit(url, allow_fragments=False)
    key = url.removeprefix(f"s3://{parts.netloc}/")
    result = _bucket(f"s3://{parts.netloc}").get(key)
    if result.meta["size"] > max_bytes:
        raise _too_large(result.meta["size"], max_bytes)
    return bytes(result.bytes())


def _from_web(url: str, max_bytes: int) -> bytes:
    with httpx.stream("GET", url, follow_redirects=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.GONE}:
            raise NotFoundError("there is no such file")
        answer.raise_for_status()
        return _joined(answer.iter_bytes(CHUNK), max_bytes)


@lru_cache
def _bucket(url: str) -> S3Store:
    return open_bucket(url)


def _joined(chunks: Iterable[bytes], max_bytes: int) -> bytes:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(len(data), max_bytes)
    return bytes(data)


def _too_large(size: int, max_bytes: int) -> ImageTooLargeError:
    return ImageTooLargeError(f"{size} bytes or more; at most {max_bytes} are accepted")
