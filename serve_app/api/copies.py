"""Clean copies of the old system's pictures, made when somebody first asks for one.

The files themselves carry what their owners' cameras wrote, so they are shown to nobody. The copy that is
made here is the one that `semblance storage copy` makes for all of them."""

from __future__ import annotations

import asyncio
from typing import Final

from deployments.clients import FaceClient
from semblance.errors import (
    BadInputError,
    ImageTooLargeError,
    NotFoundError,
    OverloadedError,
    UnreadableImageError,
)
from semblance.storage.locations import original_of
from semblance.storage.pictures import keys_of, picture_exists, picture_of, put_picture, read_picture
from semblance.storage.store import Storage

_AT_ONCE: Final = 2
"""Copies that a replica makes at a time: the detectors that make them are there for uploads first."""

_WAITING: Final = 64
"""Most copies under way or waited for; a page of a feed shows forty."""


class Copies:
    """Makes copies for one replica, each once however many ask for it at the same time."""

    def __init__(self, storage: Storage, faces: FaceClient) -> None:
        self._storage = storage
        self._faces = faces
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def make(self, key: str) -> None:
        """Make the picture to which the file `key` belongs, unless it is no copy.

        A client that leaves does not stop it: the next one wants it, too.

        Raises NotFoundError where there is no original or it cannot be shown, OverloadedError, StorageError,
        and what the face client raises."""
        picture = picture_of(key)
        if original_of(picture) is None:
            return
        task = self._running.get(picture)
        if task is None:
            if len(self._running) >= _WAITING:
                raise OverloadedError("Too many pictures are being prepared; try again soon.")
            task = self._running[picture] = asyncio.create_task(self._copy(picture))
            task.add_done_callback(lambda done: self._forget(picture, done))
        await asyncio.shield(task)

    def _forget(self, picture: str, task: asyncio.Task[None]) -> None:
        del self._running[picture]
        # Whoever asked may have left; nobody else is to be told of a failure.
        if not task.cancelled():
            task.exception()

    async def _copy(self, key: str) -> None:
        original = original_of(key)
        assert original is not None  # noqa: S101 - asked before
        try:
            async with self._turns:
                data = await read_picture(self._storage, original.table, original.path)
                stored = await self._faces.render(data)
                await put_picture(self._storage, key, stored)
        except (BadInputError, UnreadableImageError, ImageTooLargeError) as exc:
            raise NotFoundError("This picture cannot be shown.") from exc
        # Whoever removed it meanwhile removed the original first, and found no copy.
        if not await picture_exists(self._storage, original.table, original.path):
            for name in keys_of(key):
                await self._storage.delete(name)
            raise NotFoundError("There is no such picture any more.")
