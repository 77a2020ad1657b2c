"""Rendering pictures that were stored as they came: those of the main store, and those in the buckets of the
app that Semblance replaces.

The new files get new keys and are read back before the row names them. After that the old file of the main
store is removed, by the record that the change of the row leaves; files in the other buckets stay. Killed at
any point, the same command continues."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from db.analyzed import rescaled
from db.object_deletions import ObjectDeletions
from db.pool import Database
from db.raw_pictures import RawPicture, RawPictures
from deployments.faces.decoder import PATIENCE, DecoderProcess
from deployments.vision.stored_picture import render
from semblance.cores import usable_cores
from semblance.errors import (
    BadInputError,
    ImageTooLargeError,
    NotFoundError,
    StorageError,
    UnreadableImageError,
)
from semblance.picture_tables import PictureTable
from semblance.settings import Settings
from semblance.storage.pictures import (
    StoredPicture,
    full_key,
    picture_exists,
    put_picture,
    read_picture,
    shown_key,
)
from semblance.storage.store import Storage

CleanOutcome: TypeAlias = Literal["cleaned", "missing", "unreadable", "changed"]

TABLES: Final[tuple[PictureTable, ...]] = ("faces", "celebrities", "babies")

_AT_ONCE: Final = min(4, usable_cores())
"""Pictures decoded at the same time, each in its own process. The largest take 150 MB decoded."""

_IN_MEMORY: Final = 2 * _AT_ONCE
"""Files in memory at the same time, so that some are read while others are decoded. 25 MB each at most."""

_ASKED_AT_ONCE: Final = 16
"""Requests to a store in flight."""

_VERIFIED_SIDE: Final = 64
"""Long side in pixels to which the new file is decoded as a test. The JPEG decoder reads the whole file even
for a small size."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The outcome for one picture.

    Attributes:
        reason: why it stays as it is, if it does.
        key: the key its row has now.
    """

    picture: RawPicture
    outcome: CleanOutcome
    reason: str = ""
    key: str = ""


async def clean(
    database: Database,
    storage: Storage,
    settings: Settings,
    on_result: Callable[[Cleaned], None],
    tables: Iterable[PictureTable] = TABLES,
) -> Counter[CleanOutcome]:
    """Clean all pictures that rows of the tables name and that are not clean yet. Returns how many had each
    outcome.

    Pictures of a table in `storage.locations` are copied from there, and the originals stay. It can run while
    the service runs, and be repeated.

    Args:
        database: connected as its owner.
        storage: the picture store.
        settings: of the decoders.
        on_result: called for each picture.
        tables: whose rows name the pictures.

    Raises DatabaseError, StorageError. Pictures cleaned before the error stay cleaned.
    """
    counts: Counter[CleanOutcome] = Counter()
    worker = _Cleaner(database, storage, settings)
    async for batch in worker.pictures.batches(tables):
        # Finish the batch even after a failure, so that nothing is running when the database is closed.
        for result in await asyncio.gather(*map(worker.clean, batch), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            counts[result.outcome] += 1
            on_result(result)
    return counts


async def look_for(
    database: Database, storage: Storage, on_result: Callable[[Cleaned], None], tables: Iterable[PictureTable]
) -> Counter[CleanOutcome]:
    """Check for every picture that `clean` would clean whether it exists, and change nothing. Existing
    pictures count as cleaned. Raises as `clean`."""
    counts: Counter[CleanOutcome] = Counter()
    turns = asyncio.Semaphore(_ASKED_AT_ONCE)

    async def look(picture: RawPicture) -> Cleaned:
        async with turns:
            found = await picture_exists(storage, picture.table, picture.key)
        return (
            Cleaned(picture, "cleaned") if found else Cleaned(picture, "missing", "the file does not exist")
        )

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
        self._decoders = [DecoderProcess(settings, patience=PATIENCE) for _ in range(_AT_ONCE)]
        self._idle = asyncio.Semaphore(_AT_ONCE)
        self._turns = asyncio.Semaphore(_IN_MEMORY)
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    async def clean(self, picture: RawPicture) -> Cleaned:
        # Rows from before may share a picture. They are cleaned one by one, so that the last one removes it.
        lock = self._locks.setdefault(picture.key, asyncio.Lock())
        async with lock, self._turns:
            is_copied = picture.table in self._storage.locations
            # The suffix is kept, so that two keys that differ only in it stay different.
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
                # The files stay: another run of this command may have just made the row name them.
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
        """Read the new files back. Raises StorageError if one differs or is not a whole picture."""
        try:
            for name, data in stored.files(key).items():
                if await self._storage.get(name) != data:
                    raise StorageError(f"The picture store returned {name} with other content.")
            await asyncio.to_thread(_decode, decoder, stored.full)
        except NotFoundError as exc:
            raise StorageError(f"The picture store lost a new file: {exc.message}") from exc
        except UnreadableImageError as exc:
            raise StorageError(f"The picture rendered as {key} cannot be read: {exc.message}") from exc


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
        # Other clients write rows too. Malformed landmarks stay as they are.
        return landmarks
