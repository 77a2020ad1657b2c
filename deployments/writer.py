"""The worker of texts as a Serve deployment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from db.pool import Database
from db.text_embeddings import TextVector
from deployments.replica import configure_replica_logging, starting
from deployments.scaling import WAITING_JOBS
from deployments.text_queue import TextQueue
from deployments.text_vectors.embedders import open_embedder
from deployments.writing.opening import open_writer
from semblance.cores import give_way
from semblance.errors import NotReadyError, SemblanceError
from semblance.settings import get_settings
from semblance.types import JobOutcome

BUDGET_S = 20.0
"""Time after which a call to drain the queue claims no more, so that it answers before clients give up."""


class Writer:
    """Works from the moment its replica starts."""

    @starting()
    def __init__(self) -> None:
        """Called by Serve on the replica's event loop."""
        give_way()
        self._settings = get_settings()
        configure_replica_logging(self._settings)
        self._opened = (*open_writer(self._settings), open_embedder(self._settings))
        self._worker: TextQueue | None = None
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def process(self, limit: int) -> list[JobOutcome]:
        """Work on up to `limit` jobs, for about BUDGET_S seconds at most."""
        return await self._ready().process(limit, seconds=BUDGET_S)

    async def vector(self, text: str) -> TextVector:
        """What a text means, by the model in use."""
        return await self._ready().vector(text)

    async def check_health(self) -> None:
        """Called by Serve periodically. Serve replaces a replica whose check raises."""
        if self._task.done():
            self._task.result()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Called by Serve on each replica; `deployments.scaling` uses the result."""
        try:
            return {WAITING_JOBS: float(await self._ready().waiting())}
        except SemblanceError:
            return {}

    def __del__(self) -> Coroutine[Any, Any, None] | None:
        """Called by Serve to end the replica; Serve awaits the result, and the jobs in hand return to the
        queue at once. Also called by Python, when nothing is left to end."""
        # A constructor that failed leaves no task.
        task: asyncio.Task[None] | None = getattr(self, "_task", None)
        return None if task is None or task.done() else self._end()

    async def _end(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def _ready(self) -> TextQueue:
        if self._worker is None or self._task.done():
            raise NotReadyError("The writer of texts is starting.")
        return self._worker

    async def _run(self) -> None:
        settings = self._settings
        database = await Database.connect(
            settings.required_database_url.get_secret_value(), pool_size=settings.database_pool_size
        )
        worker = TextQueue(database, *self._opened, settings)
        self._worker = worker
        try:
            await worker.run()
        finally:
            await worker.release()
            await database.close()
