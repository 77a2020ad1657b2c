"""The files that are stored of a photo: three JPEG renditions, whose keys follow from one another.

A row names the full rendition; the keys of the two smaller ones are derived from its key. A key with
another ending belongs to a picture that was stored as it came, and has no smaller renditions.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, TypeAlias, get_args

from semblance.errors import BadInputError, NotFoundError
from semblance.picture_tables import PictureTable
from semblance.storage.locations import FULL_SUFFIX, Location, Original, copy_key, original_of
from semblance.storage.store import Storage
from semblance.tracing import span

Rendition: TypeAlias = Literal["feed", "thumbnail"]

MEDIA_TYPE: Final = "image/jpeg"

_SUFFIXES: Final[dict[Rendition, str]] = {"feed": ".feed.jpg", "thumbnail": ".thumbnail.jpg"}


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One photo as it is stored: JPEG files in sRGB, upright, without metadata.

    scale: pixels of `full` per pixel of the upright photo it was made of, at most 1.
    """

    full: bytes
    feed: bytes
    thumbnail: bytes
    scale: float

    def files(self, key: str) -> dict[str, bytes]:
        """The files by their keys, if the full rendition's is `key`; it comes last."""
        smaller = {rendition_key(key, name): getattr(self, name) for name in get_args(Rendition)}
        return {**smaller, key: self.full}


def full_key(stem: str) -> str:
    """The key of a picture that will be stored."""
    return stem + FULL_SUFFIX


def rendition_key(key: str, rendition: Rendition) -> str:
    """The key of a smaller rendition, or `key` itself if the picture has none."""
    if not key.endswith(FULL_SUFFIX):
        return key
    return key.removesuffix(FULL_SUFFIX) + _SUFFIXES[rendition]


def picture_of(key: str) -> str:
    """The key that a row would name: the full rendition's for a smaller one, else `key` itself."""
    for suffix in _SUFFIXES.values():
        if key.endswith(suffix):
            return key.removesuffix(suffix) + FULL_SUFFIX
    return key


def keys_of(key: str) -> list[str]:
    """The keys of all files of the picture that a row names by `key`."""
    return list(dict.fromkeys([*(rendition_key(key, name) for name in get_args(Rendition)), key]))


async def put_picture(storage: Storage, key: str, picture: StoredPicture) -> None:
    """Store all files of a picture. Raises StorageError; some of the files may exist then, but no request is
    still in flight."""
    with span("store"):
        puts = (storage.put(name, data, MEDIA_TYPE) for name, data in picture.files(key).items())
        for result in await asyncio.gather(*puts, return_exceptions=True):
            if result is not None:
                raise result


def put_picture_sync(storage: Storage, key: str, picture: StoredPicture) -> None:
    """As `put_picture`."""
    with span("store"):
        for name, data in picture.files(key).items():
            storage.put_sync(name, data, MEDIA_TYPE)


def shown_key(storage: Storage, table: PictureTable, key: str) -> str:
    """The key under which clients see the picture that a row of `table` names: `key` itself, or the copy's if
    it lies in a location of the old app. The API makes the copy when it is first asked for."""
    return key if _location(storage, table, key) is None else copy_key(Original(table, key))


def signed_picture(
    storage: Storage, table: PictureTable, key: str, lifetime: timedelta
) -> tuple[str, str, str]:
    """The URLs of the picture that a row of `table` names, as `Storage.signed_url` makes them: of the full
    rendition, and of the sizes for a feed and a thumbnail, or of the picture itself if it has no such size.
    """
    full, feed, thumbnail = storage.signed_urls(shown_key(storage, table, key), _renditions, lifetime)
    return full, feed, thumbnail


def _renditions(key: str) -> tuple[str, str, str]:
    return key, rendition_key(key, "feed"), rendition_key(key, "thumbnail")


async def read_picture(storage: Storage, table: PictureTable, key: str) -> bytes:
    """The file that a row of `table` names, in the main store or a location of the old app. The row's
    landmarks are in its pixels.

    Raises NotFoundError, BadInputError for an invalid key, StorageError, and ImageTooLargeError for a file of
    the old app."""
    for location in _locations(storage, table, key):
        try:
            return await location.get(key)
        except NotFoundError:
            continue
    # Another version may have stored it in the main store as it came.
    return await storage.get(key)


def read_picture_sync(storage: Storage, table: PictureTable, key: str) -> bytes:
    """As `read_picture`."""
    for location in _locations(storage, table, key):
        try:
            return location.get_sync(key)
        except NotFoundError:
            continue
    return storage.get_sync(key)


async def picture_exists(storage: Storage, table: PictureTable, key: str) -> bool:
    """Whether `read_picture` finds it."""
    for location in _locations(storage, table, key):
        if await location.exists(key):
            return True
    try:
        return await storage.exists(key)
    except BadInputError:
        # Only the old app has such paths.
        return False


def other_key(storage: Storage, table: PictureTable | None, key: str) -> str | None:
    """The other key by which rows may name the same picture: the original's for a copy, the copy's for an
    original."""
    if original := original_of(key):
        return original.path
    original = _original(storage, table, key)
    return None if original is None else copy_key(original)


async def remove_picture(storage: Storage, table: PictureTable | None, key: str) -> None:
    """Remove all files of a picture that a row of `table` named; for a copy also the original, and the other
    way round. Raises StorageError, and BadInputError for an invalid key."""
    original = original_of(key) or _original(storage, table, key)
    if original is None:
        await _delete(storage, key)
        return
    if location := storage.locations.get(original.table):
        await location.delete(original.path)
    if original.path == key:
        # Another version may have stored it here too, unless only the old app has such paths.
        with suppress(BadInputError):
            await _delete(storage, key)
    # Last: a request that is making the copy looks for the original once more (`serve_app.api.copies`).
    await _delete(storage, copy_key(original))


async def _delete(storage: Storage, key: str) -> None:
    for name in keys_of(key):
        await storage.delete(name)


def _original(storage: Storage, table: PictureTable | None, key: str) -> Original | None:
    if table is None or _location(storage, table, key) is None:
        return None
    return Original(table, key)


def _location(storage: Storage, table: PictureTable, key: str) -> Location | None:
    return None if key.endswith(FULL_SUFFIX) else storage.locations.get(table)


def _locations(storage: Storage, table: PictureTable, key: str) -> list[Location]:
    """Where in the old app a picture may be; that of a celebrity who was a profile is among users' faces."""
    own = _location(storage, table, key)
    if own is None:
        return []
    faces = storage.locations.get("faces")
    return [own, faces] if table == "celebrities" and faces is not None else [own]
