"""What `/ready` asks of the picture store, so that asking often costs no more than asking now and then."""

from __future__ import annotations

import asyncio
import logging
import time

from semblance.errors import SemblanceError
from semblance.storage.store import Storage

logger = logging.getLogger(__name__)

PROBE_EVERY_S = 15.0
"""How long an answer of the store holds. Everybody may ask `/ready`, and a bucket charges for each object."""


class StoreProbe:
    """Whether pictures can be stored, read and removed, tried by one task at a time for all who ask."""

    def __init__(self, storage: Storage, *, every: float = PROBE_EVERY_S) -> None:
        """every: seconds between the end of a trial and the beginning of the next."""
        self._storage = storage
        self._every = every
        self._trial: asyncio.Task[SemblanceError | None] | None = None
        self._ended = 0.0

    async def check(self) -> str:
        """The word ok. Raises StorageError."""
        if self._trial is None or (self._trial.done() and time.monotonic() - self._ended > self._every):
            self._trial = asyncio.create_task(self._try())
        # One who does not wait any longer must not end the trial of the others.
        if failure := await asyncio.shield(self._trial):
            raise failure
        return "ok"

    async def _try(self) -> SemblanceError | None:
        try:
            await self._storage.probe()
        except SemblanceError as exc:
            logger.warning("the picture store does not work: %s", exc.message)
            return exc
        else:
            return None
        finally:
            self._ended = time.monotonic()
