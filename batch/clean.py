"""What was stored as it came, stored again as pixels alone.

The new files are written under keys of their own before the row names them, and the old one is removed after
that, by the record that the change of the row leaves: killed at any point, the same command goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from db.described import rescaled
from db.object_deletions import ObjectDeletions
from db.pool import Database
from db.raw_pictures import RawPicture, RawPictures
from deployments.decoder import DecoderProcess
from deployments.vision.stored_picture import render
from semblance.errors import BadInputError, ImageTooLargeError, NotFoundError, UnreadableImageError
from semblance.settings import Settings
from semblance.storage import Storage
from semblance.stored_pictures import StoredPicture, full_key, put_picture

Outcome: TypeAlias = Literal["cleaned", "missing", "unreadable", "changed"]

_AT_ONCE: Final = min(4, os.cpu_count() or 1)
"""Pictures in memory at a time; the largest take 150 MB decoded."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of one picture, and why it stays as it is where it does."""

    picture: RawPicture
    outcome: Outcome
    reason: str = ""


async def clean(
    database: Database, storage: Storage, settings: Settings, on_result: Callable[[Cleaned], None]
) -> Counter[Outcome]:
    """Clean all pictures that rows name and that are not clean yet; how many there were of each outcome.

    Beside a running service and any number of times. database: with the rights of its owner.

    Raises DatabaseError, StorageError; what was cleaned until then is.
    """
    counts: Counter[Outcome] = Counter()
    worker = _Cleaner(database, storage, settings)
    async for batch in worker.pictures.batches():
        # To the end of the batch whatever fails, so that nothing works on when the database is closed.
        for result in await asyncio.gather(*map(worker.clean, batch), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            counts[result.outcome] += 1
            on_result(result)
    return counts


class _Cleaner:
    def __init__(self, database: Database, storage: Storage, settings: Settings) -> None:
        self.pictures = RawPictures(database)
        self._deletions = ObjectDeletions(database)
        self._storage = storage
        self._decoder = DecoderProcess(settings)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._locks = WeakValueDictionary[str, asyncio.Lock]()

    async def clean(self, picture: RawPicture) -> Cleaned:
        # Rows of the old system may share a picture: one after another, so that the last one takes it.
        lock = self._locks.setdefault(picture.key, asyncio.Lock())
        async with lock, self._turns:
            try:
                data = await self._storage.get(picture.key)
                stored = await asyncio.to_thread(self._render, data)
            except (NotFoundError, BadInputError) as exc:
                return Cleaned(picture, "missing", exc.message)
            except (UnreadableImageError, ImageTooLargeError) as exc:
                return Cleaned(picture, "unreadable", exc.message)
            # With the old suffix: of two keys that differ by it each gets one.
            key = full_key(picture.key)
            await put_picture(self._storage, key, stored)
            landmarks = _in_pixels_of(stored, picture.landmarks_68)
            if not await self.pictures.replace(picture, key, landmarks):
                # The files stay: a second command beside this one may just have made the row name them.
                return Cleaned(picture, "changed", "its row has changed meanwhile")
            await self._deletions.finish(self._storage, [picture.key])
            return Cleaned(picture, "cleaned")

    def _render(self, data: bytes) -> StoredPicture:
        with self._decoder.open(data) as picture:
            return render(picture)


def _in_pixels_of(stored: StoredPicture, landmarks: list[list[float]] | None) -> list[list[float]] | None:
    if landmarks is None or stored.scale == 1:
        return landmarks
    try:
        return rescaled(np.asarray(landmarks, np.float32), stored.scale)
    except (TypeError, ValueError):
        # Other clients write rows, too; nobody can make use of these.
        return landmarks
