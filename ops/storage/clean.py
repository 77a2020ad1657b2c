"""What was stored as it came, stored again as pixels alone: in the main store, or from where the old system
kept it.

The new files are written under keys of their own, and read back, before the row names them. A file of the
main store is removed after that, by the record that the change of the row leaves; one of the old system stays
where it is. Killed at any point, the same command goes on."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from db.described import rescaled
from db.object_deletions import ObjectDeletions
from db.pool import Database
from db.raw_pictures import RawPicture, RawPictures
from deployments.faces.decoder import DecoderProcess
from deployments.vision.stored_picture import render
from semblance.errors import (
    BadInputError,
    ImageTooLargeError,
    NotFoundError,
    StorageError,
    UnreadableImageError,
)
from semblance.settings import Settings
from semblance.storage import PictureTable
from semblance.storage.pictures import (
    StoredPicture,
    full_key,
    picture_exists,
    put_picture,
    read_picture,
    shown_key,
)
from semblance.storage.store import Storage

Outcome: TypeAlias = Literal["cleaned", "missing", "unreadable", "changed"]

TABLES: Final[tuple[PictureTable, ...]] = ("faces", "celebrities", "babies")

_AT_ONCE: Final = min(4, os.cpu_count() or 1)
"""Pictures decoded at a time, each in a process of its own; the largest take 150 MB decoded."""

_IN_MEMORY: Final = 2 * _AT_ONCE
"""Files at hand at a time, so that the next ones are read while others are decoded; 25 MB each at most."""

_ASKED_AT_ONCE: Final = 16
"""Questions to a store in flight."""

_VERIFIED_SIDE: Final = 64
"""Pixels of the long side to which the new file is decoded once more: JPEG's decoder reads all of it for
that."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of one picture, and why it stays as it is where it does. key: by which its row names it
    now."""

    picture: RawPicture
    outcome: Outcome
    reason: str = ""
    key: str = ""


async def clean(
    database: Database,
    storage: Storage,
    settings: Settings,
    on_result: Callable[[Cleaned], None],
    tables: Iterable[PictureTable] = TABLES,
) -> Counter[Outcome]:
    """Clean all pictures that rows of the tables name and that are not clean yet; how many there were of each
    outcome.

    Those of a table with a location of the old system are copied from there, and the originals stay. Beside a
    running service and any number of times. database: with the rights of its owner.

    Raises DatabaseError, StorageError; what was cleaned until then is.
    """
    counts: Counter[Outcome] = Counter()
    worker = _Cleaner(database, storage, settings)
    async for batch in worker.pictures.batches(tables):
        # To the end of the batch whatever fails, so that nothing works on when the database is closed.
        for result in await asyncio.gather(*map(worker.clean, batch), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            counts[result.outcome] += 1
            on_result(result)
    return counts


async def look_for(
    database: Database, storage: Storage, on_result: Callable[[Cleaned], None], tables: Iterable[PictureTable]
) -> Counter[Outcome]:
    """Ask for every picture that `clean` would clean whether it is there, and change nothing. What is there
    counts as cleaned. Raises as `clean`."""
    counts: Counter[Outcome] = Counter()
    turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def look(picture: RawPicture) -> Cleaned:
        async with turns:
            found = await picture_exists(storage, picture.table, picture.key)
        return Cleaned(picture, "cleaned") if found else Cleaned(picture, "missing", "there is no such file")

    async for batch in RawPictures(database).batches(tables):
        for result in await asyncio.gather(*map(look, batch)):
            counts[result.outcome] += 1
            on_result(result)
    return counts


class _Cleaner:
    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self.pictures = RawPictures(database)
        self._deletions = ObjectDeletions(database)
        self._storage = storage
        self._decoders = [DecoderProcess(settings) for _ in range(_AT_ONCE)]
        self._idle = asyncio.Semaphore(_AT_ONCE)
        self._turns = asyncio.Semaphore(_IN_MEMORY)
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    async def clean(self, picture: RawPicture) -> Cleaned:
        # Rows of the old system may share a picture: one after another, so that the last one takes it.
        lock = self._locks.setdefault(picture.key, asyncio.Lock())
        async with lock, self._turns:
            is_copied = picture.table in self._storage.locations
            # With the old suffix: of two keys that differ by it each gets one.
            key = shown_key(self._storage, picture.table, picture.key) if is_copied else full_key(picture.key)
            try:
                data = await read_picture(self._storage, picture.table, picture.key)
                async with self._decoder() as decoder:
                    stored = await asyncio.to_thread(_render, decoder, data)
                    del data
                    await put_picture(self._storage, key, stored)
                    await self._verify(decoder, key, stored)
            except (NotFoundError, BadInputError) as exc:
                return Cleaned(picture, "missing", exc.message)
            except (UnreadableImageError, ImageTooLargeError) as exc:
                return Cleaned(picture, "unreadable", exc.message)
            landmarks = _in_pixels_of(stored, picture.landmarks_68)
            if not await self.pictures.replace(picture, key, landmarks, keep_old=is_copied):
                # The files stay: a second command beside this one may just have made the row name them.
                return Cleaned(picture, "changed", "its row has changed meanwhile")
            if not is_copied:
                await self._deletions.finish(self._storage, [picture.key])
            return Cleaned(picture, "cleaned", key=key)

    @asynccontextmanager
    async def _decoder(self) -> AsyncIterator[DecoderProcess]:
        async with self._idle:
            decoder = self._decoders.pop()
            try:
                yield decoder
            finally:
                self._decoders.append(decoder)

    async def _verify(self, decoder: DecoderProcess, key: str, stored: StoredPicture) -> None:
        """Raises StorageError unless the store gives back what it was given, and that is a whole picture."""
        try:
            for name, data in stored.files(key).items():
                if await self._storage.get(name) != data:
                    raise StorageError(f"The picture store gave back {name} changed.")
            await asyncio.to_thread(_decode, decoder, stored.full)
        except NotFoundError as exc:
            raise StorageError(f"The picture store has lost what it was given: {exc.message}") from exc
        except UnreadableImageError as exc:
            raise StorageError(f"What was made of {key} cannot be read: {exc.message}") from exc


def _render(decoder: DecoderProcess, data: bytes) -> StoredPicture:
    with decoder.open(data) as picture:
        return render(picture)


def _decode(decoder: DecoderProcess, data: bytes) -> None:
    with decoder.open(data) as picture:
        picture.displayed(_VERIFIED_SIDE)


def _in_pixels_of(stored: StoredPicture, landmarks: list[list[float]] | None) -> list[list[float]] | None:
    if landmarks is None or stored.scale == 1:
        return landmarks
    try:
        return rescaled(np.asarray(landmarks, np.float32), stored.scale)
    except (TypeError, ValueError):
        # Other clients write rows, too; nobody can make use of these.
        return landmarks
