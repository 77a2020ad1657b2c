"""Where pictures are kept: a local folder, or any S3-compatible bucket, behind one small interface.

Keys are made by this project (`celebrities/ab/ab12….jpg`), never taken from a user. A bucket serves its
own pictures by presigned URL; a local folder's are served by the API, by a URL signed here.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Mapping
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
from semblance.storage import PictureTable
from semblance.storage.failures import failures, looking_up
from semblance.storage.locations import COPIES, Location

Store: TypeAlias = LocalStore | S3Store

KEY_LENGTH = 512
"""Longest key in characters; S3 allows 1024 bytes including the bucket's prefix."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")

_PROBE = b"Written to see whether the store works, and removed at once.\n".ljust(16 * 1024)
"""More than a nearly full disk has in spare corners."""

_LISTED_AT_ONCE = 1000
"""As many as a bucket lists in one answer."""

_KEPT_LINKS = 65_536
"""Presigned URLs of a bucket that a process remembers, at some 600 bytes each."""

_TEMPORARY = "X-Amz-Security-Token="
"""In URLs signed with credentials that end before the URL does."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a store says of one picture; size in bytes."""

    key: str
    size: int
    last_modified: datetime


class Storage:
    """Pictures by key. The coroutines are for servers; their `_sync` twins block the calling thread.

    Every method but `verify` raises BadInputError for a key that is none, and StorageError when the store
    cannot be reached or refuses. A picture is whole or absent: no reader sees a part of one.
    """

    def __init__(
        self,
        store: Store,
        signing_key: bytes | None,
        folder: Path | None,
        locations: Mapping[PictureTable, Location] | None = None,
    ) -> None:
        """signing_key: signs the URLs of what the API serves, that is everything of a local store, which
        keeps its pictures in `folder`. A bucket has no folder and signs its own; only copies of the old
        system's pictures, which may not be made yet, are reached by the API there, too. locations: where the
        rows of a table have pictures of the old system."""
        self.locations: Mapping[PictureTable, Location] = locations or {}
        self._store = store
        self._signing_key = signing_key
        self._folder = folder
        self._kept_link = lru_cache(maxsize=_KEPT_LINKS)(self._presigned)

    async def put(self, key: str, data: bytes, content_type: str) -> None:
        """Store `data` under `key`, replacing what was there. The content type goes to a bucket, which
        serves it; a local store has none, and the server tells it from the key's suffix."""
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
        """Remove `key`; that it is gone already is no error."""
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
        """All pictures below the folder `prefix`, some at a time, in no order. Objects whose name is no key
        of this project are left out."""
        with failures(prefix):
            async for chunk in obstore.list(self._store, _checked(prefix), chunk_size=_LISTED_AT_ONCE):
                yield [_stored(meta) for meta in chunk if _is_key(meta["path"])]

    async def find(self, key: str) -> StoredObject | None:
        """What is stored under `key`, if anything."""
        try:
            with looking_up(key):
                return _stored(await obstore.head_async(self._store, _checked(key)))
        except NotFoundError:
            return None

    async def probe(self) -> None:
        """Write a small object, read it, remove it. Raises StorageError where one of these does not work."""
        key = f"_probes/{uuid.uuid4().hex}"
        await self.put(key, _PROBE, "text/plain")
        try:
            found = await self.get(key)
        finally:
            await self.delete(key)
        if found != _PROBE:
            raise StorageError(f"The picture store gave back {key} changed.")

    def local_file(self, key: str) -> Path | None:
        """Where a local store keeps `key`, whether it is there or not; None for a bucket."""
        return None if self._folder is None else self._folder / _checked(key)

    def local_stat(self, file: Path) -> os.stat_result | None:
        """What the system says of a regular file of a local store; None where it is not there.

        Raises StorageError where it cannot be known.
        """
        try:
            found = file.stat()
        except (FileNotFoundError, NotADirectoryError) as exc:
            if self._folder is None or self._folder.is_dir():
                return None
            raise StorageError(f"The picture store {self._folder} is not there.") from exc
        except OSError as exc:
            raise StorageError(f"The picture store cannot be read: {exc}.") from exc
        return found if stat.S_ISREG(found.st_mode) else None

    def signed_url(self, key: str, lifetime: timedelta) -> str:
        """A URL that reads `key` for at least half of `lifetime` and at most all of it, without further
        credentials: a bucket's own presigned URL, or for a local store the path
        `/objects/<key>?expires=…&signature=…` of the API, expires in Unix seconds and signature the hex
        HMAC-SHA256 of both.

        It stays the same for half of `lifetime`, so that caches find it again. A bucket's is remembered by
        this process alone, and not at all where its credentials are temporary, since it ends with them.
        """
        _checked(key)
        now, half = int(time.time()), max(1, int(lifetime.total_seconds() / 2))
        # The links of different pictures change at different times, or all caches would miss at once.
        turn, spent = divmod(now + zlib.crc32(key.encode()) % half, half)
        if isinstance(self._store, S3Store) and not key.startswith(f"{COPIES}/"):
            url = self._kept_link(key, lifetime, turn)
            return self._presigned(key, lifetime, turn) if _TEMPORARY in url else url
        until = now - spent + int(lifetime.total_seconds())
        return f"/objects/{key}?expires={until}&signature={self._signature(key, until)}"

    def bucket_url(self, key: str, lifetime: timedelta) -> str:
        """The bucket's own presigned URL, also of a copy, which must be there."""
        return self._presigned(_checked(key), lifetime, 0)

    def key_of(self, url: str) -> str | None:
        """The key of which `url` may be a signed URL, whether or not it is valid and the picture there. For a
        local store any host will do; None for what is no address of a picture here."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        # Behind a path of its own where the service's public address has one.
        _, served, key = parts.path.rpartition("/objects/")
        found = bool(served) and parts.scheme in {"http", "https", ""}
        if isinstance(self._store, S3Store) and not (found and key.startswith(f"{COPIES}/")):
            root = self._kept_link("x", timedelta(hours=1), 0).partition("?")[0].removesuffix("x")
            key, found = url.partition("?")[0].removeprefix(root), url.startswith(root)
        return key if found and _is_key(key) else None

    def verify(self, key: str, expires: int, signature: str) -> bool:
        """Whether `signed_url` gave this signature for key and expiry, and the time has not passed. Takes the
        same time wherever the signatures differ. A bucket's own URLs never verify."""
        if self._signing_key is None or not _is_key(key):
            return False
        expected = self._signature(key, expires)
        genuine = hmac.compare_digest(expected.encode(), signature.encode(errors="replace"))
        return genuine and time.time() <= expires

    def _presigned(self, key: str, lifetime: timedelta, _turn: int) -> str:
        with failures(key):
            return obstore.sign(cast(S3Store, self._store), "GET", key, lifetime)

    def _signature(self, key: str, expires: int) -> str:
        if self._signing_key is None:
            raise ConfigurationError("No API key to sign links with: set SEMBLANCE_API_KEY.")
        # In one call, which takes a third of the time: a page of a list shows forty pictures.
        return hmac.digest(self._signing_key, f"GET\n{key}\n{expires}".encode(), "sha256").hex()

    def _attributes(self, content_type: str) -> dict[str, str] | None:
        if isinstance(self._store, LocalStore):
            return None
        # Pictures never change under their key.
        return {"Content-Type": content_type, "Cache-Control": "private, max-age=43200, immutable"}


def _stored(meta: Mapping[str, Any]) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["last_modified"])


def _is_key(name: str) -> bool:
    return len(name) <= KEY_LENGTH and _KEY.fullmatch(name) is not None


def _checked(key: str) -> str:
    """The key itself; BadInputError where it could leave the store or needs escaping in a URL."""
    if not _is_key(key):
        raise BadInputError("A storage key is made of letters, digits, '.', '_', '-' and single slashes.")
    return key
