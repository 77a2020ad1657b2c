"""The main store of pictures: a local folder or an S3-compatible bucket, behind one small interface.

Keys are made by this project (`celebrities/ab/ab12….jpg`), never taken from a user. A bucket serves its
pictures by presigned URL; the API serves those of a local folder, by a URL signed here.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

import obstore
from obstore.store import LocalStore, S3Store

from semblance.errors import (
    BadInputError,
    ConfigurationError,
    NotFoundError,
    StorageError,
)
from semblance.picture_tables import PictureTable
from semblance.storage.failures import failures, looking_up
from semblance.storage.locations import COPIES, Location

Store: TypeAlias = LocalStore | S3Store

KEY_LENGTH = 512
"""Longest key in characters; S3 allows 1024 bytes including the bucket's prefix."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")

_PROBE = b"Written to see whether the store works, and removed at once.\n".ljust(16 * 1024)
"""More than a nearly full disk has left."""

_LISTED_AT_ONCE = 1000
"""As many as a bucket lists in one answer."""

_KEPT_LINKS = 32_768
"""Pictures whose URLs a process remembers, at some 600 bytes for each of up to three. A page of the feed has
forty, which many users get."""

_TWO_SECONDS = timedelta(seconds=2)

_TEMPORARY = "X-Amz-Security-Token="
"""Part of URLs signed with credentials that expire before the URL does."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object of a store; size in bytes."""

    key: str
    size: int
    last_modified: datetime


class Storage:
    """Pictures by key. The coroutines are for servers; their `_sync` twins block the calling thread.

    Every method but `verify` raises BadInputError for an invalid key, and StorageError if the store cannot be
    reached or refuses. A picture is whole or absent: no reader sees a part of one.
    """

    def __init__(
        self,
        store: Store,
        signing_key: bytes | None,
        folder: Path | None,
        locations: Mapping[PictureTable, Location] | None = None,
    ) -> None:
        """
        Args:
            signing_key: signs the URLs of what the API serves: everything in a local store; with a bucket,
                which signs its own URLs, only the copies of the old app's pictures, which may not exist yet.
            folder: where a local store keeps its pictures; None for a bucket.
            locations: where the old app keeps the pictures of a table's rows.
        """
        self.locations: Mapping[PictureTable, Location] = locations or {}
        self._store = store
        self._signing_key = signing_key
        self._folder = folder
        self._kept_links = lru_cache(maxsize=_KEPT_LINKS)(self._links)

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store `data` under `key`, replacing what was there. A bucket serves the content type; a local store
        has none, and the API derives it from the key's suffix."""
        with failures(key):
            await obstore.put_async(
                self._store, _checked(key), data, attributes=self._attributes(content_type)
            )

    def put_sync(self, key: str, data: bytes, content_type: str) -> None:
        """As `put`."""
        with failures(key):
            obstore.put(self._store, _checked(key), data, attributes=self._attributes(content_type))

    async def get(self, key: str) -> bytes:
        """The bytes under `key`; raises NotFoundError."""
        with looking_up(key):
            result = await obstore.get_async(self._store, _checked(key))
            return bytes(await result.bytes_async())

    def get_sync(self, key: str) -> bytes:
        """As `get`."""
        with looking_up(key):
            return bytes(obstore.get(self._store, _checked(key)).bytes())

    async def delete(self, key: str) -> None:
        """Remove `key`, if it exists."""
        try:
            with looking_up(key):
                await obstore.delete_async(self._store, _checked(key))
        except NotFoundError:
            return

    async def exists(self, key: str) -> bool:
        """Whether something is stored under `key`."""
        try:
            with looking_up(key):
                await obstore.head_async(self._store, _checked(key))
        except NotFoundError:
            return False
        return True

    async def keys(self, prefix: str) -> list[str]:
        """All keys below the folder `prefix`, sorted."""
        with failures(prefix):
            chunks = obstore.list(self._store, _checked(prefix))
            return sorted([meta["path"] async for chunk in chunks for meta in chunk])

    async def objects(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """All pictures below the folder `prefix`, some at a time, in any order. Objects without a valid key
        are left out."""
        with failures(prefix):
            async for chunk in obstore.list(self._store, _checked(prefix), chunk_size=_LISTED_AT_ONCE):
                yield [_stored(meta) for meta in chunk if _is_key(meta["path"])]

    async def find(self, key: str) -> StoredObject | None:
        """The object stored under `key`, if any."""
        try:
            with looking_up(key):
                return _stored(await obstore.head_async(self._store, _checked(key)))
        except NotFoundError:
            return None

    async def probe(self) -> None:
        """Write a small object, read it, remove it. Raises StorageError if one of these fails."""
        key = f"_probes/{uuid.uuid4().hex}"
        await self.put(key, _PROBE, "text/plain")
        try:
            found = await self.get(key)
        finally:
            await self.delete(key)
        if found != _PROBE:
            raise StorageError(f"The picture store returned {key} with other content.")

    def local_file(self, key: str) -> Path | None:
        """Where a local store keeps `key`, whether it exists or not; None for a bucket."""
        return None if self._folder is None else self._folder / _checked(key)

    def local_stat(self, file: Path) -> os.stat_result | None:
        """The status of a regular file of a local store; None if it does not exist.

        Raises StorageError if that cannot be known.
        """
        try:
            found = file.stat()
        except (FileNotFoundError, NotADirectoryError) as exc:
            if self._folder is None or self._folder.is_dir():
                return None
            raise StorageError(f"The picture store {self._folder} does not exist.") from exc
        except OSError as exc:
            raise StorageError(f"The picture store cannot be read: {exc}.") from exc
        return found if stat.S_ISREG(found.st_mode) else None

    def signed_url(self, key: str, lifetime: timedelta) -> str:
        """A URL that reads `key` for at least half of `lifetime` and at most all of it, without further
        credentials: a bucket's own presigned URL, or for a local store the path
        `/objects/<key>?expires=…&signature=…` of the API, expires in Unix seconds and signature the hex
        HMAC-SHA256 of both.

        It stays the same for half of `lifetime`, so that caches find it again. A bucket's differs between
        processes, and stays the same only if the bucket's credentials are not temporary: otherwise the URL
        expires with them. Raises BadInputError for an invalid key.
        """
        return self.signed_urls(key, _itself, lifetime)[0]

    def signed_urls(
        self, key: str, files: Callable[[str], tuple[str, ...]], lifetime: timedelta
    ) -> tuple[str, ...]:
        """As `signed_url`, for all `files` of the picture `key`; their URLs change at the same time."""
        half = _half(lifetime)
        turn = (int(time.time()) + _offset(key, half)) // half
        urls = self._kept_links(key, files, lifetime, turn)
        return self._links(key, files, lifetime, turn) if _TEMPORARY in urls[0] else urls

    def bucket_url(self, key: str, lifetime: timedelta) -> str:
        """The bucket's own presigned URL, also for a copy, which must exist."""
        return self._presigned(_checked(key), lifetime)

    @property
    def bucket_origin(self) -> str | None:
        """The origin of a bucket's own URLs; None for a local store."""
        if not isinstance(self._store, S3Store):
            return None
        parts = urlsplit(self._presigned("x", timedelta(minutes=1)))
        return f"{parts.scheme}://{parts.netloc}"

    def key_of(self, url: str) -> str | None:
        """The key of a signed URL, whether or not the signature is valid and the picture exists. With a local
        store the host may be any. None if `url` is not the address of a picture here."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        # The service's public address may have a path before it.
        _, served, key = parts.path.rpartition("/objects/")
        found = bool(served) and parts.scheme in {"http", "https", ""}
        if isinstance(self._store, S3Store) and not (found and key.startswith(f"{COPIES}/")):
            [signed] = self._kept_links("x", _itself, timedelta(hours=1), 0)
            root = signed.partition("?")[0].removesuffix("x")
            key, found = url.partition("?")[0].removeprefix(root), url.startswith(root)
        return key if found and _is_key(key) else None

    def verify(self, key: str, expires: int, signature: str) -> bool:
        """Whether `signed_url` made this signature for key and expiry, and that is not past. Compares in
        constant time. A bucket's own URLs never verify."""
        if self._signing_key is None or not _is_key(key):
            return False
        expected = self._signature(key, expires)
        genuine = hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
        return genuine and time.time() <= expires

    def _links(
        self, key: str, files: Callable[[str], tuple[str, ...]], lifetime: timedelta, turn: int
    ) -> tuple[str, ...]:
        """The URLs that are valid from the given turn of `key` on."""
        half = _half(lifetime)
        until = turn * half - _offset(key, half) + int(lifetime.total_seconds())
        return tuple(self._link(_checked(name), lifetime, until) for name in files(key))

    def _link(self, key: str, lifetime: timedelta, until: int) -> str:
        if isinstance(self._store, S3Store) and not key.startswith(f"{COPIES}/"):
            return self._presigned(key, lifetime)
        return f"/objects/{key}?expires={until}&signature={self._signature(key, until)}"

    def _presigned(self, key: str, lifetime: timedelta) -> str:
        with failures(key):
            return obstore.sign(cast(S3Store, self._store), "GET", key, lifetime)

    def _signature(self, key: str, expires: int) -> str:
        if self._signing_key is None:
            raise ConfigurationError("There is no API key to sign URLs with: set SEMBLANCE_API_KEY.")
        # One call takes a third of the time of several; a page of a list has forty pictures.
        return hmac.digest(self._signing_key, f"GET\n{key}\n{expires}".encode(), "sha256").hex()

    def _attributes(self, content_type: str) -> dict[str, str] | None:
        if isinstance(self._store, LocalStore):
            return None
        # Pictures never change under their key.
        return {"Content-Type": content_type, "Cache-Control": "private, max-age=43200, immutable"}


def _stored(meta: Mapping[str, Any]) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["last_modified"])


def _itself(key: str) -> tuple[str]:
    return (key,)


def _half(lifetime: timedelta) -> int:
    """Seconds for which a URL stays the same."""
    return max(1, lifetime // _TWO_SECONDS)


def _offset(key: str, half: int) -> int:
    """Seconds by which the URLs of this picture change before those of others, or all caches would miss at
    once."""
    return zlib.crc32(key.encode(errors="replace")) % half


def _is_key(name: str) -> bool:
    return len(name) <= KEY_LENGTH and _KEY.fullmatch(name) is not None


def _checked(key: str) -> str:
    """The key itself. Raises BadInputError if it could leave the store or needs escaping in a URL."""
    if not _is_key(key):
        raise BadInputError("A storage key consists of letters, digits, '.', '_', '-' and single slashes.")
    return key
