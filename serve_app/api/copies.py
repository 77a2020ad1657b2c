"""Clean copies of adopted pictures, made at the first request for one.

The original files carry what their owners' cameras wrote, so they are never served. The copies are the same
as those of `semblance storage copy`, which makes all of them.
"""

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
"""Copies that a replica makes at a time: the detectors that make them serve uploads first."""

_WAITING: Final = 64
"""Most copies in progress or waiting; a page of a feed shows forty."""


class Copies:
    """Makes copies for one replica; requests for the same copy at the same time share the work."""

    def __init__(self, storage: Storage, faces: FaceClient) -> None:
        self._storage = storage
        self._faces = faces
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def make(self, key: str) -> None:
        """Make the copy that the file `key` belongs to; does nothing for other files.

        A client that leaves does not stop the work: the next client needs the copy, too.

        Raises NotFoundError if the original does not exist or cannot be shown, OverloadedError, StorageError,
        and what the face client raises.
        """
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
        # The clients may all have left; then nobody retrieves the exception.
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
        # A concurrent deletion removes the original first, and found no copy yet.
        if not await picture_exists(self._storage, original.table, original.path):
            for name in keys_of(key):
                await self._storage.delete(name)
            raise NotFoundError("This picture no longer exists.")
