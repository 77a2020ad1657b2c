"""The pool of workers of a job: batches in, results out, even if workers die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import takewhile
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import ray
from ray.exceptions import ObjectLostError, OutOfMemoryError, RayActorError, RayError, RayTaskError

from batch.actor import WorkerActor
from batch.cluster import PoolPlan, last_line
from semblance.errors import WorkersError
from semblance.running import ray_submission_id
from semblance.settings import Settings

ATTEMPTS = 3
"""How often Ray tries a batch again after its worker died: by a kill, with its node, or by a picture that
crashes native code. After that the batch's items are tried one by one."""

AHEAD = 8
"""Finished batches that may wait for an earlier one, for each batch in progress. Some ten seconds of work:
about as long as a worker needs to start again."""

_LOST = (RayTaskError, RayActorError, ObjectLostError, OutOfMemoryError)
"""Errors that lose one batch. After any other error of Ray no batch can run."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class BatchWorker(Protocol[Result_co]):
    """What runs in an actor of the pool."""

    @property
    def process(self) -> Callable[..., Sequence[Result_co]]:
        """From a batch of items, and what all batches share, to one result per item, in order."""


class WorkerPool(Generic[Item, Result]):
    """Actors that all process the same kind of items. Ray's dashboard counts their batches by the name of the
    worker's class.

    A batch that was lost in every attempt is split, and its items are tried one by one, so that an item that
    kills its worker fails alone.
    """

    def __init__(
        self,
        worker: type[BatchWorker[Result]],
        arguments: Sequence[object],
        settings: Settings,
        plan: PoolPlan,
        *,
        shared: Sequence[object] = (),
        failed: Callable[[Item, str], Result],
    ) -> None:
        """Start the actors.

        Args:
            worker: The class of the workers.
            arguments: For the constructor of each. They appear in Ray's dashboard and logs, so they must hold
                no secrets.
            settings: By which the actors log and trace, without secrets, for the same reason.
            plan: How many actors, and what each reserves.
            shared: What `process` gets with each batch. It is put into Ray's object store once, where
                arrays are shared by all workers of a node. Arguments of the constructor could not be: Ray
                does not keep those for workers that start again.
            failed: From an item that also failed alone, and the reason, to its result.
        """
        # By this name Ray's dashboard knows them.
        named = type(worker.__name__, (WorkerActor,), {})
        actor: Any = ray.remote(named).options(
            num_cpus=plan.num_cpus,
            num_gpus=plan.num_gpus,
            scheduling_strategy="SPREAD",
            max_restarts=-1,
            max_task_retries=ATTEMPTS,
        )
        job_id = ray_submission_id()
        self._actors = [actor.remote(worker, arguments, settings, job_id) for _ in range(plan.actors)]
        self._shared = [ray.put(each) for each in shared]
        self._failed = failed

    async def results(
        self, batches: AsyncIterator[Sequence[Item]], *, in_order: bool
    ) -> AsyncIterator[tuple[Sequence[Item], Sequence[Result]]]:
        """Each batch with one result per item: in the order of the batches, or as they come. Items that were
        tried alone come last.

        Raises WorkersError if the workers cannot start or Ray ends.
        """
        lost: list[Item] = []
        # A second batch waits at each worker, so that it never idles while this process is busy.
        async for batch, results in self._run(batches, 2, in_order=in_order):
            if isinstance(results, RayError):
                lost += batch
            else:
                yield batch, results
        # No second one here: it would lose an attempt whenever the item before it kills the worker.
        async for batch, results in self._run(_each(lost), 1, in_order=in_order):
            if isinstance(results, RayError):
                reason = _reason(results)
                yield batch, [self._failed(item, reason) for item in batch]
            else:
                yield batch, results

    async def _run(
        self, batches: AsyncIterator[Sequence[Item]], depth: int, *, in_order: bool
    ) -> AsyncIterator[tuple[Sequence[Item], _Answer[Result]]]:
        """Give each worker `depth` batches at a time."""
        # Only workers that have started get batches: there may be no room for one, and others must go on.
        in_hand: dict[Any, int] = {}
        actor_of: dict[asyncio.Task[Any], Any] = {
            asyncio.create_task(_start(actor)): actor for actor in self._actors
        }
        unanswered: dict[asyncio.Task[_Answer[Result]], Sequence[Item]] = {}
        most = AHEAD * depth * len(self._actors)
        batch = await anext(batches, None)
        try:
            while batch is not None or unanswered:
                while batch is not None and len(unanswered) < most:
                    actor = min(in_hand, key=in_hand.__getitem__, default=None)
                    if actor is None or in_hand[actor] == depth:
                        break
                    task = asyncio.create_task(_call(actor, batch, self._shared))
                    actor_of[task], unanswered[task] = actor, batch
                    in_hand[actor] += 1
                    batch = await anext(batches, None)
                done, _ = await asyncio.wait(actor_of, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
                    actor = actor_of.pop(each)
                    in_hand[actor] = in_hand.get(actor, 1) - 1
                ready = [task for task in unanswered if task.done()]
                if in_order:
                    ready = list(takewhile(asyncio.Task.done, unanswered))
                for task in ready:
                    yield unanswered.pop(task), task.result()
        finally:
            for each in actor_of:
                each.cancel()
            await asyncio.gather(*actor_of, return_exceptions=True)


_Answer: TypeAlias = Sequence[Result] | RayError
"""The results of a batch, or what lost it."""


async def _start(actor: Any) -> None:
    """Wait until a worker is ready. Raises WorkersError if it cannot start."""
    try:
        await actor.__ray_ready__.remote()
    except RayError as exc:
        raise _cannot_run(exc) from exc


async def _call(actor: Any, batch: Sequence[Item], shared: Sequence[object]) -> _Answer[Any]:
    """Raises WorkersError if no batch can run."""
    try:
        results: Sequence[Any] = await actor.process.remote(batch, *shared)
    except RayError as exc:
        if isinstance(exc, _LOST) and not (isinstance(exc, RayActorError) and exc.actor_init_failed):
            return exc
        raise _cannot_run(exc) from exc
    return results


def _cannot_run(error: RayError) -> WorkersError:
    return WorkersError(f"The workers cannot run: {last_line(error)}")


def _reason(error: RayError) -> str:
    if isinstance(error, RayTaskError):
        return f"its worker failed: {type(error.cause).__name__}: {error.cause}"
    return "its worker died in every attempt; Ray's logs say more"


async def _each(items: Iterable[Item]) -> AsyncIterator[Sequence[Item]]:
    for item in items:
        yield [item]
