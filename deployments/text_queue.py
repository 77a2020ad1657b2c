"""The queue of texts as a whole: what is written, and what texts mean as vectors."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, aclosing
from typing import Self

from db.inference_jobs import InferenceJobs
from db.pool import Database
from db.text_embeddings import TextVector
from deployments.text_vectors.embedders import TextEmbedder, open_embedder
from deployments.text_vectors.worker import TextVectorWorker
from deployments.writing.moderation import Moderator
from deployments.writing.opening import open_writer
from deployments.writing.worker import TextWorker
from deployments.writing.writer import TextWriter
from semblance.errors import DatabaseError
from semblance.settings import Settings
from semblance.types import JobOutcome

logger = logging.getLogger(__name__)


class TextQueue:
    """The workers of `inference_queue`. Any number of processes share the queue, with or without Ray."""

    def __init__(
        self,
        database: Database,
        writer: TextWriter,
        moderator: Moderator,
        embedder: TextEmbedder,
        settings: Settings,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._texts = TextWorker(database, writer, moderator, settings)
        self._vectors = TextVectorWorker(database, embedder, settings)

    @classmethod
    def open(cls, database: Database, settings: Settings) -> Self:
        """With the providers of the settings. Raises ConfigurationError, PackError."""
        return cls(database, *open_writer(settings), open_embedder(settings), settings)

    async def run(self) -> None:
        """Work until cancelled: at once on a notification, and when a job or a lease is due."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._texts.run())
            tasks.create_task(self._vectors.run())

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do jobs until none is due, `limit` are done or `seconds` have passed for each kind; texts first,
        because somebody waits for them.

        Raises DatabaseError if no job can be claimed.
        """
        outcomes = await self._texts.process(limit, seconds=seconds)
        if limit is None or len(outcomes) < limit:
            left = None if limit is None else limit - len(outcomes)
            await self._vectors.queue_missing()
            outcomes += await self._vectors.process(left, seconds=seconds)
        return outcomes

    async def vector(self, text: str) -> TextVector:
        """What a text means. Raises PackError, TextProviderBusyError, TextRefusedError."""
        vectors, _ = await self._embedder.embed([text])
        return TextVector(vectors[0], self._embedder.model)

    async def waiting(self) -> int:
        """The number of due jobs that no worker has claimed. Raises DatabaseError."""
        return await InferenceJobs(self._database).pending()

    async def release(self) -> None:
        """Return claimed jobs to the queue and close the providers, once `run` and `process` have ended.
        Raises DatabaseError."""
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self._embedder.close)
            ending.push_async_callback(self._texts.release)
            await self._vectors.release()

    async def _listen(self) -> None:
        async with aclosing(self._database.notifications("inference_queue")) as notifications:
            async for _ in notifications:
                self._texts.wake()
                self._vectors.wake()
                try:
                    await self._vectors.queue_missing()
                except DatabaseError as exc:
                    logger.warning("cannot look for texts without vectors now: %s", exc.message)
