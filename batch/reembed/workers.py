"""The pool of workers of a re-embedding: batches in, results out, whatever becomes of a worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from batch.cluster import Pool
from batch.reembed.reembedder import Reembedder, Result
from db.spare_embeddings import Pending, Table
from semblance.errors import WorkersError
from semblance.settings import Settings

ATTEMPTS = 3
"""How often a batch is tried again when its worker dies. After that its pictures are tried one by one, and
what still kills a worker has failed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table that a worker gets together."""

    table: Table
    rows: Sequence[Pending]


class Workers:
    """The pool of actors of one run."""

    def __init__(self, settings: Settings, pack_digest: str, pool: Pool) -> None:
        worker = ray.remote(Reembedder).options(
            num_cpus=pool.num_cpus,
            num_gpus=pool.num_gpus,
            max_restarts=-1,
            max_task_retries=ATTEMPTS,
        )
        # Workers need no secret, and arguments of actors can be seen in Ray's dashboard and logs.
        arguments = settings.without_secrets(), pack_digest
        self._actors = [worker.remote(*arguments) for _ in range(pool.actors)]

    async def results(self, batches: AsyncIterator[Batch]) -> AsyncIterator[tuple[Batch, list[Result]]]:
        """Results of all batches, as they come; those that killed their workers come last, row by row."""
        left: list[Batch] = []
        # A second batch waits at each worker, so that it never idles for want of this process.
        async for batch, results in self._run(batches, 2):
            if results is None:
                left += [Batch(batch.table, [row]) for row in batch.rows]
            else:
                yield batch, results
        reason = "its worker died in every attempt; Ray's logs say more"
        # One at a time, so that none loses an attempt to the one before it.
        async for batch, results in self._run(_each(left), 1):
            yield batch, results or [Result("failed", reason)]

    async def _run(
        self, batches: AsyncIterator[Batch], in_flight: int
    ) -> AsyncIterator[tuple[Batch, list[Result] | None]]:
        idle = deque(self._actors * in_flight)
        running: dict[asyncio.Task[list[Result] | None], tuple[Any, Batch]] = {}
        try:
            while True:
                while idle and (batch := await anext(batches, None)) is not None:
                    actor = idle.popleft()
                    running[asyncio.create_task(_call(actor, batch))] = actor, batch
                if not running:
                    return
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    actor, batch = running.pop(task)
                    idle.append(actor)
                    yield batch, task.result()
        finally:
            for task in running:
                task.cancel()


async def _call(actor: Any, batch: Batch) -> list[Result] | None:
    """The results, or None where the worker died in every attempt. Raises WorkersError where none can run."""
    try:
        results: list[Result] = await actor.embed.remote(batch.table, batch.rows)
    except RayError as exc:
        if isinstance(exc, RayActorError) and not exc.actor_init_failed:
            return None
        # Ends with the worker's own error, after the traceback of everything between.
        reason = str(exc).strip().rpartition("\n")[2]
        raise WorkersError(f"The workers cannot run: {reason}") from exc
    return results


async def _each(batches: Iterable[Batch]) -> AsyncIterator[Batch]:
    for batch in batches:
        yield batch
