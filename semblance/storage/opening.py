"""Opens what the settings name: the main store, a bucket, a location of the old app."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from semblance.errors import ConfigurationError, StorageError
from semblance.files import create_file, read_file
from semblance.settings import Settings
from semblance.storage.failures import first_line
from semblance.storage.locations import Location
from semblance.storage.store import Storage

PATIENCE = timedelta(seconds=30)
"""How long a request to a bucket is retried; clients would not wait for the library's three minutes."""

_SIGNING_KEY_BYTES = 32
"""As long as the digest it keys (RFC 2104, section 3)."""


def open_storage(settings: Settings, *, patience: timedelta = PATIENCE) -> Storage:
    """The storage that `settings.storage_url` names, by default `settings.home`/objects. A bucket's
    credentials, region and endpoint come from the usual AWS_* variables.

    Args:
        patience: how long a request to a bucket is retried.

    Raises ConfigurationError for a URL of another kind, and StorageError if the folder cannot be made.
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
    """The bucket of `s3://bucket/prefix`, which prefixes every key, with the settings of the AWS_* variables.

    Args:
        config: values that override these variables, by their names in lower case.

    Raises ConfigurationError if the URL names no bucket or a variable is not understood.
    """
    if not urlsplit(url).netloc:
        raise ConfigurationError(f"{url} names no bucket: write s3://bucket/prefix.")
    _forget_empty_variables()
    given = dict(config or {})
    # Among the variables this is one like the others; in code it is an option of the HTTP client.
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
    """The location that one value of `Settings.old_storage` names.

    Raises ConfigurationError as `open_bucket` does, and StorageError if a folder is missing.
    """
    where, _, query = url.partition("?")
    if not where.startswith("s3://"):
        folder = local_path(where)
        try:
            return Location(LocalStore(prefix=folder.resolve(strict=True)), where, max_bytes)
        except (OSError, BaseError) as exc:
            raise StorageError(f"The folder {folder} of the old app cannot be used: {exc}.") from exc
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
    """The key by which all replicas of a service sign, on any node: it follows from the API key. None without
    one, as in workers, which sign nothing."""
    if settings.api_key is None:
        return None
    return hmac.digest(settings.api_key.get_secret_value().encode(), b"links to pictures", "sha256")


def _forget_empty_variables() -> None:
    """The library reads AWS_* itself and takes an empty AWS_ENDPOINT, for example, for a URL."""
    for name in [name for name, value in os.environ.items() if name.startswith("AWS_") and not value]:
        del os.environ[name]


def local_path(url: str) -> Path:
    """The folder or file of a `file://` URL; raises ConfigurationError for any other URL."""
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise ConfigurationError(f"{url} is neither file:///folder nor s3://bucket/prefix.")
    return Path(unquote(parts.path))


def _signing_key(path: Path) -> bytes:
    """The key in the file, made on first use. Of several processes that make it, all read the same."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_file(path, secrets.token_bytes(_SIGNING_KEY_BYTES))
    try:
        key = read_file(path)
    except OSError as exc:
        raise StorageError(f"Cannot read the key in {path}: {exc}") from exc
    if len(key) != _SIGNING_KEY_BYTES:
        raise StorageError(
            f"{path} is damaged: delete it; all signed URLs given out so far become invalid then."
        )
    return key
