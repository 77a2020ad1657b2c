"""Where pictures are kept: a local folder, or any S3-compatible bucket, behind one small interface.

Keys are made by this project (`celebrities/ab/ab12….jpg`), never taken from a user. A bucket serves its
own pictures by presigned URL; a local folder's are served by the API, by a URL signed here.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
import tempfile
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from semblance.errors import (
    BadInputError,
    ConfigurationError,
    NotFoundError,
    StorageError,
)
from semblance.locations import COPIES, Location, PictureTable
from semblance.settings import Settings
from semblance.store_failures import failures, first_line, looking_up

Store: TypeAlias = LocalStore | S3Store

KEY_LENGTH = 512
"""Longest key in characters; S3 allows 1024 bytes including the bucket's prefix."""

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")

PATIENCE = timedelta(seconds=30)
"""How long a request to a bucket is retried; the library's three minutes are longer than a client waits."""

_PROBE = b"Written to see whether the store works, and removed at once.\n".ljust(16 * 1024)
"""More than a nearly full disk has in spare corners."""

_LISTED_AT_ONCE = 1000
"""As many as a bucket lists in one answer."""

_KEPT_LINKS = 65_536
"""Presigned URLs of a bucket that a process remembers, at some 600 bytes each."""

_TEMPORARY = "X-Amz-Security-Token="
"""In URLs signed with credentials that end before the URL does."""

_SIGNING_KEY_BYTES = 32
"""As long as the digest it keys (RFC 2104, section 3)."""


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


def open_storage(settings: Settings, *, patience: timedelta = PATIENCE) -> Storage:
    """The storage that `settings.storage_url` names; `settings.home`/objects where it is unset.

    patience: how long a request to a bucket is retried.

    Credentials, region and endpoint of a bucket come from the usual AWS_* variables. Raises
    ConfigurationError for a URL of another kind, and StorageError where the folder cannot be made.
    """
    locations = {
        table: open_location(place, settings.max_image_bytes, patience)
        for table, place in settings.old_storage.items()
    }
    url = settings.storage_url
    if url is not None and urlsplit(url).scheme == "s3":
        signing_key = _shared_key(settings) if locations else None
        return Storage(open_bucket(url, patience=patience), signing_key, None, locations)
    folder = settings.home / "objects" if url is None else local_path(url)
    try:
        store = LocalStore(prefix=folder.resolve(), mkdir=True)
        key = _signing_key((settings.home / "keys" / "storage-signing.key").resolve())
    except (OSError, BaseError) as exc:
        raise StorageError(f"The picture folder {folder} cannot be used: {exc}.") from exc
    return Storage(store, key, folder.resolve(), locations)


def open_bucket(
    url: str, *, patience: timedelta = PATIENCE, config: Mapping[str, Any] | None = None
) -> S3Store:
    """The bucket of `s3://bucket/prefix`, which prefixes every key; settings from the AWS_* variables.

    config: what counts in place of these variables, by their names in lower case.

    Raises ConfigurationError where the URL names no bucket or a variable is not understood.
    """
    if not urlsplit(url).netloc:
        raise ConfigurationError(f"{url} names no bucket: write s3://bucket/prefix.")
    _forget_empty_variables()
    given = dict(config or {})
    # No setting of AWS, and so an option of the HTTP client, where the variables have both alike.
    plain = given.pop("aws_allow_http", None) or str(given.get("aws_endpoint", "")).startswith("http://")
    try:
        return S3Store.from_url(
            url,
            config=cast(Any, given),
            client_options={"allow_http": True} if plain else None,
            retry_config={"max_retries": 5, "retry_timeout": patience},
        )
    except (BaseError, ValueError) as exc:
        problem = first_line(exc)
        raise ConfigurationError(f"{url} cannot be opened; check the AWS_* variables: {problem}") from exc


def open_location(url: str, max_bytes: int, patience: timedelta) -> Location:
    """A location of the old system, by one value of `Settings.old_storage`.

    Raises ConfigurationError as `open_bucket` does, and StorageError where a folder is missing.
    """
    where, _, query = url.partition("?")
    if not where.startswith("s3://"):
        folder = local_path(where)
        try:
            return Location(LocalStore(prefix=folder.resolve(strict=True)), where, max_bytes)
        except (OSError, BaseError) as exc:
            raise StorageError(f"The folder {folder} of the old system cannot be used: {exc}.") from exc
    options = dict(parse_qsl(query))
    prefix = options.pop("variables", "")
    config = {
        name.removeprefix(f"{prefix}_").lower(): value
        for name, value in os.environ.items()
        if prefix and value and name.startswith(f"{prefix}_AWS_")
    }
    config |= {f"aws_{name}": value for name, value in options.items()}
    return Location(open_bucket(where, patience=patience, config=config), where, max_bytes)


def _shared_key(settings: Settings) -> bytes | None:
    """What all replicas of a service sign by, on whatever nodes: it follows from the service's own key. None
    where that is not told, as in workers, which sign nothing."""
    if settings.api_key is None:
        return None
    return hmac.digest(settings.api_key.get_secret_value().encode(), b"links to pictures", "sha256")


def _forget_empty_variables() -> None:
    """The library reads AWS_* by itself and takes an empty one for a value, as AWS_ENDPOINT for a URL."""
    for name in [name for name, value in os.environ.items() if name.startswith("AWS_") and not value]:
        del os.environ[name]


def local_path(url: str) -> Path:
    """The folder or file of a `file://` URL; raises ConfigurationError for any other URL."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise ConfigurationError(f"{url} is neither file:///folder nor s3://bucket/prefix.")
    return Path(unquote(parts.path))


def _stored(meta: Mapping[str, Any]) -> StoredObject:
    return StoredObject(meta["path"], meta["size"], meta["last_modified"])


def _is_key(name: str) -> bool:
    return len(name) <= KEY_LENGTH and _KEY.fullmatch(name) is not None


def _checked(key: str) -> str:
    """The key itself; BadInputError where it could leave the store or needs escaping in a URL."""
    if not _is_key(key):
        raise BadInputError("A storage key is made of letters, digits, '.', '_', '-' and single slashes.")
    return key


def _signing_key(path: Path) -> bytes:
    """The key in the file, made on first use. Of several processes that race, one makes it and all read
    that one: it is written aside and linked into place, which fails where it exists."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent) as aside:  # made with mode 0600
            aside.write(secrets.token_bytes(_SIGNING_KEY_BYTES))
            aside.flush()
            os.fsync(aside.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(aside.name)
    key = path.read_bytes()
    if len(key) != _SIGNING_KEY_BYTES:
        raise StorageError(f"{path} is damaged: delete it, and all links given out so far become void.")
    return key
