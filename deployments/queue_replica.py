"""A replica that works on a queue of the database, whether or not anybody calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, Protocol, TypeVar

from db.pool import Database
from deployments.scaling import WAITING_JOBS
from semblance.errors import NotReadyError, SemblanceError
from semblance.settings import Settings
from semblance.types import JobOutcome

BUDGET_S = 20.0
"""Time after which a call to drain the queue claims no more, so that it answers before clients give up."""


class Worker(Protocol):
    """Works on a queue; see `matching.worker.MatchWorker`."""

    async def run(self) -> None:
        """Work until cancelled."""

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do jobs until none is due, `limit` are done or `seconds` have passed. Raises DatabaseError."""
        ...

    async def waiting(self) -> int:
        """The number of jobs that no worker has claimed. Raises DatabaseError."""
        ...

    async def release(self) -> None:
        """Return claimed jobs to the queue, once `run` and `process` have ended. Raises DatabaseError."""


WorkerT = TypeVar("WorkerT", bound=Worker)


class QueueReplica(Generic[WorkerT]):
    """Works from the moment its replica starts."""

    def __init__(self, settings: Settings, open_worker: Callable[[Database], WorkerT]) -> None:
        """Called on the replica's event loop."""
        self._worker: WorkerT | None = None
        self._task = asyncio.get_running_loop().create_task(self._run(settings, open_worker))

    async def process(self, limit: int) -> list[JobOutcome]:
        """Work on up to `limit` jobs, for about BUDGET_S seconds at most."""
        return await self._ready().process(limit, seconds=BUDGET_S)

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

    def _ready(self) -> WorkerT:
        if self._worker is None or self._task.done():
            raise NotReadyError(f"The {type(self).__name__.lower()} is starting.")
        return self._worker

    async def _run(self, settings: Settings, open_worker: Callable[[Database], WorkerT]) -> None:
        database = await Database.connect(
            settings.required_database_url.get_secret_value(), pool_size=settings.database_pool_size
        )
        self._worker = worker = open_worker(database)
        try:
            await worker.run()
        finally:
            await worker.release()
            await database.close()
