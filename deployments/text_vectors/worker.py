"""The worker of text vectors: it has them made, many in one call, and stores those of each text once."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import timedelta
from typing import Final
from uuid import UUID

from db.inference_jobs import ClaimedInference, InferenceQueue, Use
from db.pool import Connection, Database
from db.text_embeddings import EmbeddedText, SourceText, TextEmbeddings, TextSource, store_or_queue_again
from deployments.text_vectors.embedders import TOGETHER, TextEmbedder, embed_texts
from semblance.errors import TextRefusedError
from semblance.leased_queue import QueueWorker
from semblance.settings import Settings
from semblance.types import JobOutcome

logger = logging.getLogger(__name__)

QUEUE_MISSING_EVERY_S: Final = 3600.0


class TextVectorWorker:
    """Drains the queue of texts to embed. Any number of workers share it, with or without Ray.

    A text may be embedded more than once, if a worker is killed; its vectors and the end of its job are one
    transaction."""

    def __init__(self, database: Database, embedder: TextEmbedder, settings: Settings) -> None:
        self.id = uuid.uuid4()
        self._embeddings = TextEmbeddings(database)
        self._embedder = embedder
        self._queue = InferenceQueue(database, ["embed"], embedder.author)
        self._worker = QueueWorker(
            self._queue,
            self._attempt,
            worker=self.id,
            noun="text vector",
            together=TOGETHER,
            lease=timedelta(seconds=settings.match_lease_seconds),
        )
        self._asked: list[UUID] = []
        self._batch: asyncio.Task[dict[UUID, tuple[EmbeddedText, Use] | TextRefusedError]] | None = None
        self._looked_at: dict[TextSource, float] = {}

    async def run(self) -> None:
        """Work until cancelled: when woken, and when a job or a lease is due."""
        await self._worker.run()

    def wake(self) -> None:
        """Look at the queue now: a job may be due."""
        self._worker.wake()

    async def queue_missing(self) -> None:
        """Queue the texts that lack vectors of the model in use: when the worker starts, when an admin
        switches a source on, and then every hour. Removes the vectors of messages when they are switched off.
        Raises DatabaseError."""
        on = await self._embeddings.sources()
        if "message" not in on:
            await self._embeddings.forget_messages()
        self._looked_at = {source: at for source, at in self._looked_at.items() if source in on}
        for source in on:
            if (
                time.monotonic() - self._looked_at.get(source, -QUEUE_MISSING_EVERY_S)
                >= QUEUE_MISSING_EVERY_S
            ):
                queued = await self._embeddings.queue_missing(source, self._embedder.model)
                self._looked_at[source] = time.monotonic()
                if queued:
                    logger.info("queued %d texts to embed (%s)", queued, source)

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do jobs until none is due, `limit` are done or `seconds` have passed.

        Raises DatabaseError if no job can be claimed.
        """
        return await self._worker.process(limit, seconds=seconds)

    async def release(self) -> None:
        """Return claimed jobs to the queue, once `run` and `process` have ended. Raises DatabaseError."""
        await self._worker.release()

    async def _attempt(self, job: ClaimedInference) -> JobOutcome:
        text = job.message_id or job.profile_id
        # Jobs that were claimed together get here before the first of them waits.
        self._asked.append(text)
        if self._batch is None:
            self._batch = asyncio.create_task(self._embed())
        found = (await self._batch).get(text)
        if found is None:
            # The text is gone, has its vectors, or may have none any more.
            done = await self._queue.complete(job, Use(0, 0, 0.0))
        elif isinstance(found, TextRefusedError):
            raise found
        else:
            embedded, use = found

            async def store(connection: Connection) -> None:
                await store_or_queue_again(connection, embedded, self._embedder.model)

            done = await self._queue.complete(job, use, effect=store)
        return JobOutcome(job.id, "completed" if done else "lost")

    async def _embed(self) -> dict[UUID, tuple[EmbeddedText, Use] | TextRefusedError]:
        asked, self._asked, self._batch = self._asked, [], None
        texts = await self._embeddings.to_embed(asked, self._embedder.model)
        if not texts:
            return {}
        try:
            return dict(await self._embed_together(texts))
        except TextRefusedError as exc:
            if len(texts) == 1:
                return {texts[0].id: exc}
        # One of them is refused, and takes no other with it.
        found: dict[UUID, tuple[EmbeddedText, Use] | TextRefusedError] = {}
        for text in texts:
            try:
                found |= await self._embed_together([text])
            except TextRefusedError as exc:
                found[text.id] = exc
        return found

    async def _embed_together(self, texts: list[SourceText]) -> dict[UUID, tuple[EmbeddedText, Use]]:
        embedded, use = await embed_texts(self._embedder, texts)
        whole = max(sum(len(text.content) for text in texts), 1)
        return {each.text.id: (each, _part(use, len(each.text.content) / whole)) for each in embedded}


def _part(use: Use, share: float) -> Use:
    """What a call took for one of its texts, by its share of the characters."""
    return Use(round((use.tokens_in or 0) * share), 0, use.seconds * share)
