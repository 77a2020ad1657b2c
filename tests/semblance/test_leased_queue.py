"""The loop serves any queue of leased jobs: it keeps leases, tries again what may succeed, fails the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from semblance.errors import BadInputError, StorageError
from semblance.leased_queue import QueueWorker
from semblance.types import JobOutcome
from tests.support.waiting import PATIENCE_S

LEASE = timedelta(milliseconds=30)


@dataclass(frozen=True)
class Errand:
    id: UUID = field(default_factory=uuid4)
    attempt: int = 1
    traceparent: str | None = None


class QueueInMemory:
    """A queue of errands that are tried again at once, without end."""

    def __init__(self, *errands: Errand) -> None:
        self.due = list(errands)
        self.extended = asyncio.Event()
        self.failed: dict[UUID, str] = {}
        self.told = 0

    async def claim(self, worker: UUID, limit: int, lease: timedelta) -> list[Errand]:
        claimed, self.due = self.due[:limit], self.due[limit:]
        return claimed

    async def extend(self, worker: UUID, jobs: Iterable[UUID], lease: timedelta) -> None:
        self.extended.set()

    async def retry(self, job: Errand, message: str, after: timedelta = timedelta()) -> bool:
        self.due.append(Errand(job.id, job.attempt + 1))
        return True

    async def fail(self, job: Errand, message: str) -> None:
        self.failed[job.id] = message

    async def release(self, worker: UUID) -> None:
        pass

    async def seconds_to_next(self) -> float | None:
        return 0.0 if self.due else None

    async def tell_operators(self) -> None:
        self.told += 1


async def done(job: Errand) -> JobOutcome:
    return JobOutcome(job.id, "completed")


async def test_the_lease_is_extended_while_a_job_takes_long() -> None:
    queue = QueueInMemory(Errand())

    async def slow(job: Errand) -> JobOutcome:
        await queue.extended.wait()
        return await done(job)

    worker = QueueWorker(queue, slow, worker=uuid4(), noun="errand", together=1, lease=LEASE)
    async with asyncio.timeout(PATIENCE_S):
        assert [outcome.status for outcome in await worker.process()] == ["completed"]


@pytest.mark.parametrize("error", [StorageError("The disk is full."), ValueError("a bug")])
async def test_what_a_later_attempt_may_cure_is_tried_again(error: Exception) -> None:
    async def fails_once(job: Errand) -> JobOutcome:
        if job.attempt == 1:
            raise error
        return await done(job)

    queue = QueueInMemory(Errand())
    worker = QueueWorker(queue, fails_once, worker=uuid4(), noun="errand", together=1, lease=LEASE)
    first, second = await worker.process()
    assert (first.status, second.status) == ("pending", "completed")
    assert first.error is not None
    assert str(error) not in first.error


async def test_any_other_error_fails_the_job_with_its_sentence() -> None:
    async def refused(job: Errand) -> JobOutcome:
        raise BadInputError("This cannot be read.")

    errand = Errand()
    queue = QueueInMemory(errand)
    worker = QueueWorker(queue, refused, worker=uuid4(), noun="errand", together=1, lease=LEASE)
    (outcome,) = await worker.process()
    assert outcome.status == "failed"
    assert queue.failed == {errand.id: "This cannot be read."}


async def test_no_more_than_the_limit_are_done_and_operators_are_told() -> None:
    queue = QueueInMemory(*(Errand() for _ in range(5)))
    worker = QueueWorker(queue, done, worker=uuid4(), noun="errand", together=2, lease=LEASE)
    assert len(await worker.process(3)) == 3
    assert len(queue.due) == 2
    await worker.release()
    # Of the first two at once, and of the other one when the worker ended.
    assert queue.told == 2


async def test_operators_are_told_of_jobs_that_end_while_they_are_told() -> None:
    first_told = asyncio.Event()

    class SlowToTell(QueueInMemory):
        """Two jobs end while it tells of the first."""

        async def tell_operators(self) -> None:
            self.told += 1
            if self.told == 1:
                self.due += [Errand(), Errand()]
                await worker.process()
                first_told.set()

    queue = SlowToTell(Errand())
    worker = QueueWorker(queue, done, worker=uuid4(), noun="errand", together=2, lease=LEASE)
    await worker.process()
    await first_told.wait()
    assert (queue.told, queue.due) == (1, [])
    await worker.release()
    assert queue.told == 2


async def test_a_worker_that_ends_while_operators_are_told_tells_them() -> None:
    telling = asyncio.Event()

    class Stuck(QueueInMemory):
        """The first time, it does not get to tell them."""

        async def tell_operators(self) -> None:
            if not telling.is_set():
                telling.set()
                await asyncio.Event().wait()
            self.told += 1

    queue = Stuck(Errand())
    worker = QueueWorker(queue, done, worker=uuid4(), noun="errand", together=2, lease=LEASE)
    await worker.process()
    await telling.wait()
    await worker.release()
    assert queue.told == 1


async def test_a_worker_that_refills_does_not_wait_for_the_slowest() -> None:
    slow, others = Errand(), [Errand() for _ in range(4)]
    gate, seen = asyncio.Event(), list[Errand]()

    async def attempt(job: Errand) -> JobOutcome:
        if job.id == slow.id:
            await gate.wait()
        else:
            seen.append(job)
            if len(seen) == len(others):
                gate.set()
        return await done(job)

    queue = QueueInMemory(slow, *others)
    worker = QueueWorker(queue, attempt, worker=uuid4(), noun="errand", together=2, lease=LEASE, refill=True)
    async with asyncio.timeout(PATIENCE_S):
        assert len(await worker.process()) == 5


async def test_a_cancelled_worker_ends_what_it_works_on() -> None:
    ended = asyncio.Event()

    async def endless(_: Errand) -> JobOutcome:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    worker = QueueWorker(
        QueueInMemory(Errand()), endless, worker=uuid4(), noun="errand", together=1, lease=LEASE
    )
    task = asyncio.create_task(worker.process())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
