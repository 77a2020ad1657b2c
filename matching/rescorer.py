"""Does the rescorings that operators ask for; any worker goes on with one whose worker died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from db.pool import Database
from db.rescorings import RescoringProgress, Rescorings
from matching.rescore import Rescoring
from matching.store import Matching
from semblance.errors import DatabaseError, SemblanceError

logger = logging.getLogger(__name__)

TELL_EVERY_S = 1.0


class Rescorer:
    """The part of a worker that rescores. It goes on where another stopped, because rows that have the
    weights of the rules are not written again."""

    def __init__(self, database: Database, worker: UUID, lease: timedelta) -> None:
        self._worker = worker
        self._lease = lease
        self._rows = Rescorings(database)
        self._rescoring = Rescoring(database)
        self._matching = Matching(database)

    async def work(self) -> None:
        """Do the rescoring that waits or was left, if there is one. Raises DatabaseError."""
        rescoring = await self._rows.claim(self._worker, self._lease)
        if rescoring is None:
            return
        try:
            await self._apply(rescoring)
        except SemblanceError as exc:
            logger.warning("rescoring %s: %s", rescoring, exc.message)
            await self._rows.end(rescoring, self._worker, exc.message)
        else:
            await self._rows.end(rescoring, self._worker)

    async def _apply(self, rescoring: UUID) -> None:
        """Until the rules are the same at the end as at the beginning, or another worker has it."""
        while True:
            rules = await self._matching.rules()
            tally = _Tally(await self._rescoring.count())
            async with self._telling(rescoring, tally):
                report = await self._rescoring.rescore(rules, dry_run=False, on_progress=tally.add)
            rescored = report.users.rescored + report.celebrities.rescored
            held = await self._rows.record(
                rescoring, self._worker, replace(tally.progress, rescored=rescored), self._lease
            )
            if not held or await self._matching.rules() == rules:
                return

    @asynccontextmanager
    async def _telling(self, rescoring: UUID, tally: _Tally) -> AsyncIterator[None]:
        """Write how far it is, and extend the lease, until the block ends."""

        async def tell() -> None:
            while True:
                try:
                    await self._rows.record(rescoring, self._worker, tally.progress, self._lease)
                except DatabaseError as exc:
                    logger.warning("cannot record the progress of a rescoring: %s", exc.message)
                await asyncio.sleep(TELL_EVERY_S)

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()


class _Tally:
    """Counts what a rescoring has done."""

    def __init__(self, total: int) -> None:
        self.progress = RescoringProgress(total)

    def add(self, rows: int, removed: int) -> None:
        done = self.progress
        self.progress = replace(done, done=done.done + rows, removed=done.removed + removed)
