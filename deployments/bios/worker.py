"""The worker of bios: it has vectors made of them, many in one call, and stores each exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from db.bios import Bios, TextVector, store_or_queue_again
from db.inference_jobs import ClaimedInference, InferenceQueue, Use
from db.pool import Connection, Database
from deployments.bios.embedders import TextEmbedder
from semblance.errors import TextRefusedError
from semblance.leased_queue import QueueWorker
from semblance.settings import Settings
from semblance.types import JobOutcome

logger = logging.getLogger(__name__)

TOGETHER: Final = 32
"""Bios of one call of the model."""

QUEUE_MISSING_EVERY_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class EmbeddedBio:
    """A bio, what it means, and its part of what the call took."""

    bio: str
    vector: TextVector
    use: Use


class BioWorker:
    """Drains the queue of bios. Any number of workers share it, with or without Ray.

    A bio may be embedded more than once, if a worker is killed; its vector and the end of its job are one
    transaction."""

    def __init__(self, database: Database, embedder: TextEmbedder, settings: Settings) -> None:
        self.id = uuid.uuid4()
        self._bios = Bios(database)
        self._embedder = embedder
        self._queue = InferenceQueue(database, ["embed"], embedder.author)
        self._worker = QueueWorker(
            self._queue,
            self._attempt,
            worker=self.id,
            noun="bio",
            together=TOGETHER,
            lease=timedelta(seconds=settings.match_lease_seconds),
        )
        self._asked: list[UUID] = []
        self._batch: asyncio.Task[dict[UUID, EmbeddedBio | TextRefusedError]] | None = None
        self._looked_at: float | None = None

    async def run(self) -> None:
        """Work until cancelled: when woken, and when a job or a lease is due."""
        await self._worker.run()

    def wake(self) -> None:
        """Look at the queue now: a job may be due."""
        self._worker.wake()

    async def queue_missing(self) -> None:
        """Queue the bios that lack a vector of the model in use: when the worker starts, when the search is
        switched on, and then every hour. Raises DatabaseError."""
        if not await self._bios.searched():
            self._looked_at = None
        elif self._looked_at is None or time.monotonic() - self._looked_at > QUEUE_MISSING_EVERY_S:
            queued = await self._bios.queue_missing(self._embedder.model)
            self._looked_at = time.monotonic()
            if queued:
                logger.info("queued %d bios", queued)

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do jobs until none is due, `limit` are done or `seconds` have passed.

        Raises DatabaseError if no job can be claimed.
        """
        return await self._worker.process(limit, seconds=seconds)

    async def release(self) -> None:
        """Return claimed jobs to the queue, once `run` and `process` have ended. Raises DatabaseError."""
        await self._worker.release()

    async def _attempt(self, job: ClaimedInference) -> JobOutcome:
        # Jobs that were claimed together get here before the first of them waits.
        self._asked.append(job.profile_id)
        if self._batch is None:
            self._batch = asyncio.create_task(self._embed())
        embedded = (await self._batch).get(job.profile_id)
        if embedded is None:
            # The bio is gone or has its vector, or the search was switched off.
            done = await self._queue.complete(job, Use(0, 0, 0.0))
        elif isinstance(embedded, TextRefusedError):
            raise embedded
        else:
            found = embedded

            async def store(connection: Connection) -> None:
                await store_or_queue_again(connection, job.profile_id, found.bio, found.vector)

            done = await self._queue.complete(job, found.use, effect=store)
        return JobOutcome(job.id, "completed" if done else "lost")

    async def _embed(self) -> dict[UUID, EmbeddedBio | TextRefusedError]:
        asked, self._asked, self._batch = self._asked, [], None
        bios = await self._bios.to_embed(asked, self._embedder.model)
        if not bios:
            return {}
        try:
            return dict(await self._embed_together(bios))
        except TextRefusedError as exc:
            if len(bios) == 1:
                return dict.fromkeys(bios, exc)
        # One of them is refused, and takes no other with it.
        found: dict[UUID, EmbeddedBio | TextRefusedError] = {}
        for profile, bio in bios.items():
            try:
                found |= await self._embed_together({profile: bio})
            except TextRefusedError as exc:
                found[profile] = exc
        return found

    async def _embed_together(self, bios: dict[UUID, str]) -> dict[UUID, EmbeddedBio]:
        vectors, use = await self._embedder.embed(list(bios.values()))
        whole = sum(map(len, bios.values()))
        return {
            profile: EmbeddedBio(bio, TextVector(vector, self._embedder.model), _part(use, len(bio) / whole))
            for (profile, bio), vector in zip(bios.items(), vectors, strict=True)
        }


def _part(use: Use, share: float) -> Use:
    """What a call took for one of its texts, by its share of the characters."""
    return Use(round((use.tokens_in or 0) * share), 0, use.seconds * share)
