"""The loop that drains a queue whose jobs are leased, and what such a queue must offer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from math import inf
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from semblance.errors import DatabaseError, SemblanceError
from semblance.logging import job_id_var
from semblance.metrics import JOBS
from semblance.tracing import begin
from semblance.types import JobOutcome

logger = logging.getLogger(__name__)

SHORTEST_WAIT_S = 0.05
PAUSE_AFTER_ERROR_S = 1.0

LOOK_EVERY_S = 0.2
"""How often a worker that refills looks for jobs that became due while it works on others."""

TELL_EVERY_S = 1.0
"""How often operators are told of a queue that moves, at most."""


class LeasedJob(Protocol):
    """A job that its worker may work on until its lease ends. attempt: counts from 1. traceparent: of the
    trace that it belongs to, if there is one."""

    @property
    def id(self) -> UUID: ...

    @property
    def attempt(self) -> int: ...

    @property
    def traceparent(self) -> str | None: ...


Job = TypeVar("Job", bound=LeasedJob)


class LeasedQueue(Protocol[Job]):
    """A queue that workers share. Every method raises DatabaseError if the database does not answer."""

    async def claim(self, worker: UUID, limit: int, lease: timedelta) -> list[Job]:
        """Claim up to `limit` due jobs for this worker until the lease ends."""

    async def extend(self, worker: UUID, jobs: Iterable[UUID], lease: timedelta) -> None:
        """Restart the lease of these jobs, as far as the worker still holds them."""

    async def retry(self, job: Job, message: str, after: timedelta = timedelta()) -> bool:
        """Return a job after a failed attempt, due again not before `after`, or fail it after the last
        attempt. Returns False if it failed."""

    async def fail(self, job: Job, message: str) -> None:
        """Fail a job that no further attempt can complete."""

    async def release(self, worker: UUID) -> None:
        """Return all jobs of this worker, as if they had not been claimed."""

    async def seconds_to_next(self) -> float | None:
        """Seconds until the next job is due or the next lease ends, at least 0; None without any."""

    async def tell_operators(self) -> None:
        """Tell operators that jobs have ended."""


class QueueWorker(Generic[Job]):
    """Drains a queue of leased jobs: keeps their leases while it works, and records how each attempt ended.

    The jobs of a worker that is killed return to the queue when their lease ends.
    """

    def __init__(
        self,
        queue: LeasedQueue[Job],
        attempt: Callable[[Job], Awaitable[JobOutcome]],
        *,
        worker: UUID,
        noun: str,
        together: int,
        lease: timedelta,
        refill: bool = False,
    ) -> None:
        """
        Args:
            attempt: Does a job, and ends it in the transaction of its effects. The job is tried again after
                an error that is retryable or no SemblanceError, and fails with the message of any other.
            worker: Holds the leases. noun: What the log and the metrics call a job of this queue: "match
                job". together: How many jobs are done at once. refill: Whether another job is begun as soon
                as one has ended, for jobs that wait for others and take different times; else all of them
                end first, for jobs that share their work.
        """
        self._queue = queue
        self._attempt = attempt
        self._worker = worker
        self._noun = noun
        self._together = together
        self._lease = lease
        self._refill = refill
        self._woken = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._told = -inf
        self._untold = False

    def wake(self) -> None:
        """Look at the queue now: a job may be due."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled: when woken, and when a job or a lease is due."""
        while True:
            self._woken.clear()
            try:
                await self.process()
                wait = await self._queue.seconds_to_next()
            except DatabaseError as exc:
                logger.warning("cannot read the queue of %ss: %s", self._noun, exc.message)
                wait = PAUSE_AFTER_ERROR_S
            with suppress(TimeoutError):
                async with asyncio.timeout(None if wait is None else max(wait, SHORTEST_WAIT_S)):
                    await self._woken.wait()

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do jobs until none is due, `limit` are done or `seconds` have passed.

        Raises DatabaseError if no job can be claimed.
        """
        started, outcomes = time.monotonic(), list[JobOutcome]()
        working: dict[asyncio.Task[JobOutcome], UUID] = {}
        try:
            async with self._holding(working):
                while True:
                    room = self._together - len(working)
                    if limit is not None:
                        room = min(room, limit - len(outcomes) - len(working))
                    in_time = seconds is None or not outcomes or time.monotonic() - started <= seconds
                    # A few at a time: each claim costs two statements.
                    handful = self._refill and len(working) <= self._together * 3 // 4
                    if room > 0 and in_time and (handful or not working):
                        jobs = await self._claim(room, needed=not working)
                        working |= {asyncio.create_task(self.work(job)): job.id for job in jobs}
                    if not working:
                        break
                    ended = await self._ended(working)
                    for task in ended:
                        del working[task]
                        outcomes.append(task.result())
                        JOBS.count(queue=self._noun, outcome=outcomes[-1].status)
                    if ended:
                        self._tell_soon()
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
        return outcomes

    async def _claim(self, room: int, *, needed: bool) -> list[Job]:
        """Up to `room` jobs. needed: whether nothing else is in hand, which a broken claim must not end."""
        try:
            return await self._queue.claim(self._worker, room, self._lease)
        except DatabaseError as exc:
            if needed:
                raise
            logger.warning("cannot claim more %ss now: %s", self._noun, exc.message)
            return []

    async def _ended(
        self, working: Mapping[asyncio.Task[JobOutcome], UUID]
    ) -> list[asyncio.Task[JobOutcome]]:
        """What has ended, in the order of its claim: all together, or with `refill` as soon as anything
        has."""
        if self._refill:
            when, most = asyncio.FIRST_COMPLETED, LOOK_EVERY_S
        else:
            when, most = asyncio.ALL_COMPLETED, None
        done, _ = await asyncio.wait(working, timeout=most, return_when=when)
        return [task for task in working if task in done]

    async def work(self, job: Job) -> JobOutcome:
        """Attempt a claimed job, and record a failure in the queue."""
        token = job_id_var.set(str(job.id))
        try:
            with begin(self._noun, parent=job.traceparent, job_id=str(job.id), attempt=job.attempt):
                return await self._attempt(job)
        except SemblanceError as exc:
            if not exc.retryable:
                return await self._failed(job, exc.message, None)
            logger.warning("%s %s, attempt %d: %s", self._noun, job.id, job.attempt, exc.message)
            return await self._failed(job, _our_fault(exc.code), timedelta(seconds=exc.retry_after or 0))
        except Exception:
            logger.exception("%s %s, attempt %d", self._noun, job.id, job.attempt)
            return await self._failed(job, _our_fault(SemblanceError.code), timedelta())
        finally:
            job_id_var.reset(token)

    async def release(self) -> None:
        """Return claimed jobs to the queue, once `run` and `process` have ended. Raises DatabaseError."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await self._queue.release(self._worker)
        if self._untold:
            await self._tell_operators()

    def _tell_soon(self) -> None:
        """Tell operators that jobs have ended, without having the jobs wait for it."""
        self._untold = True
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self._untold:
            await asyncio.sleep(max(0.0, self._told + TELL_EVERY_S - time.monotonic()))
            await self._tell_operators()

    async def _tell_operators(self) -> None:
        # What ends while they are told counts for the next time.
        self._told, self._untold = time.monotonic(), False
        try:
            await self._queue.tell_operators()
        except asyncio.CancelledError:
            # `release` tells them then.
            self._untold = True
            raise
        except DatabaseError as exc:
            logger.warning("cannot tell operators of the queue: %s", exc.message)

    @asynccontextmanager
    async def _holding(self, working: Mapping[asyncio.Task[JobOutcome], UUID]) -> AsyncIterator[None]:
        """Extend the lease of the jobs that are in hand until the block ends."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._lease.total_seconds() / 3)
                if not working:
                    continue
                try:
                    await self._queue.extend(self._worker, list(working.values()), self._lease)
                except DatabaseError as exc:
                    logger.warning("cannot extend the lease of %ss: %s", self._noun, exc.message)

        heart = asyncio.create_task(beat())
        try:
            yield
        finally:
            heart.cancel()

    async def _failed(self, job: Job, message: str, after: timedelta | None) -> JobOutcome:
        """after: the least time until the next attempt; None for no other."""
        again = False
        try:
            if after is None:
                await self._queue.fail(job, message)
            else:
                again = await self._queue.retry(job, message, after)
        except DatabaseError as exc:
            logger.warning("%s %s returns when its lease ends: %s", self._noun, job.id, exc.message)
            return JobOutcome(job.id, "lost", error=message)
        return JobOutcome(job.id, "pending" if again else "failed", error=message)


def _our_fault(code: str) -> str:
    """A sentence for the user, who cannot mend it; the log has the reason."""
    return f"Something went wrong on our side ({code})."
