"""What is stored of a picture: three JPEG files, whose keys follow from one another.

A row names the full picture; the two smaller ones lie beside it under keys derived from its own. A key that
ends otherwise is of a picture stored as it came, which stands in for its smaller ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from semblance.storage import Storage

Rendition: TypeAlias = Literal["feed", "thumbnail"]

MEDIA_TYPE: Final = "image/jpeg"

FULL_SUFFIX: Final = ".full.jpg"
"""How the key of a picture ends that holds nothing but pixels and has its smaller ones beside it."""

_SUFFIXES: Final[dict[Rendition, str]] = {"feed": ".feed.jpg", "thumbnail": ".thumbnail.jpg"}


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """One picture as it is stored: JPEG files in sRGB, upright, without metadata.

    scale: pixels of `full` per pixel of the upright picture it was made of, at most 1.
    """

    full: bytes
    feed: bytes
    thumbnail: bytes
    scale: float

    def files(self, key: str) -> dict[str, bytes]:
        """The files by their keys, where `key` is the full picture's; that one comes last."""
        smaller = {rendition_key(key, name): getattr(self, name) for name in get_args(Rendition)}
        return {**smaller, key: self.full}


def full_key(stem: str) -> str:
    """The key of a picture that is yet to be stored."""
    return stem + FULL_SUFFIX


def rendition_key(key: str, rendition: Rendition) -> str:
    """The key of a smaller picture; of one that has none, its own."""
    if not key.endswith(FULL_SUFFIX):
        return key
    return key.removesuffix(FULL_SUFFIX) + _SUFFIXES[rendition]


def picture_of(key: str) -> str:
    """The key that a row would name: the full picture's of a smaller one, and of any other its own."""
    for suffix in _SUFFIXES.values():
        if key.endswith(suffix):
            return key.removesuffix(suffix) + FULL_SUFFIX
    return key


def keys_of(key: str) -> list[str]:
    """The keys of all files of the picture that a row names by `key`."""
    return list(dict.fromkeys([*(rendition_key(key, name) for name in get_args(Rendition)), key]))


async def put_picture(storage: Storage, key: str, picture: StoredPicture) -> None:
    """Store all files of a picture. Raises StorageError, after which some of them may be there, and none
    is still on its way."""
    puts = (storage.put(name, data, MEDIA_TYPE) for name, data in picture.files(key).items())
    for result in await asyncio.gather(*puts, return_exceptions=True):
        if result is not None:
            raise result


def put_picture_sync(storage: Storage, key: str, picture: StoredPicture) -> None:
    """As `put_picture`."""
    for name, data in picture.files(key).items():
        storage.put_sync(name, data, MEDIA_TYPE)
