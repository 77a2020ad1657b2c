"""Reads one picture from a disk, a bucket or the web, never more of it than the limit."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from obstore.exceptions import BaseError
from obstore.store import S3Store

from batch.ingest.files import open_regular
from batch.ingest.spelling import find_other_spelling
from batch.ingest.web import read_web, too_large
from semblance.errors import NotFoundError, UnreadableImageError
from semblance.storage.opening import open_bucket


def fetch(location: str, max_bytes: int, *, allow_private_hosts: bool = False) -> bytes:
    """The file at a path or an s3://, https:// or http:// URL. allow_private_hosts: as in `read_web`.

    Raises NotFoundError, ImageTooLargeError for more than max_bytes, and UnreadableImageError with the reason
    if it cannot be read.
    """
    try:
        scheme = urlsplit(location).scheme if "://" in location else ""
        if scheme == "s3":
            return _from_bucket(location, max_bytes)
        if scheme in {"http", "https"}:
            return read_web(location, max_bytes, allow_private_hosts=allow_private_hosts)
        return _from_disk(Path(location), max_bytes)
    except FileNotFoundError as exc:
        raise NotFoundError("the file does not exist") from exc
    except OSError as exc:
        raise UnreadableImageError(f"it could not be read: {exc.strerror or exc}") from exc
    # ValueError: for paths and host names that cannot exist.
    except (BaseError, httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        reason = str(exc).partition("\n")[0]
        raise UnreadableImageError(f"it could not be read: {reason or type(exc).__name__}") from exc


def _from_disk(path: Path, max_bytes: int) -> bytes:
    try:
        file = open_regular(path)
    except FileNotFoundError:
        # A manifest may spell a name differently from the disk that the files were copied to.
        if (found := find_other_spelling(path)) is None:
            raise
        file = open_regular(found)
    with file:
        # One byte more than allowed shows that the file is too large.
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise too_large(max_bytes)
    return data


def _from_bucket(url: str, max_bytes: int) -> bytes:
    parts = urlsplit(url, allow_fragments=False)
    key = url.removeprefix(f"s3://{parts.netloc}/")
    result = _bucket(f"s3://{parts.netloc}").get(key)
    if result.meta["size"] > max_bytes:
        raise too_large(max_bytes)
    return bytes(result.bytes())


@lru_cache
def _bucket(url: str) -> S3Store:
    return open_bucket(url)
