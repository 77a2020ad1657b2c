"""The worker of the queue of texts: it has them written, checks them, and writes them down exactly once."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from datetime import timedelta
from typing import Final

from db.inference_jobs import ClaimedInference, Effect, InferenceJobs, InferenceQueue, replace_icebreaker
from db.pool import Connection, Database
from db.text_subjects import subject_of
from deployments.writing.moderation import Moderator
from deployments.writing.openai import NOTHING
from deployments.writing.shown import shown, shown_so_far
from deployments.writing.writer import OnText, TextWriter
from semblance.errors import DatabaseError, SemblanceError, TextProviderBusyError, TextRefusedError
from semblance.leased_queue import QueueWorker
from semblance.settings import Settings
from semblance.types import JobOutcome

logger = logging.getLogger(__name__)

TOGETHER: Final = 16
"""Texts that a worker has written at once; it only waits for them."""

TELL_EVERY_S: Final = 0.4
"""Shortest time between two beginnings of a draft that its reader is told."""

TIDY_EVERY_S: Final = 3600.0

NOT_WANTED: Final = "This text is no longer wanted."
NOT_SHOWN: Final = "What was written is not fit to be shown."


class TextWorker:
    """Drains the queue of replies and icebreakers. Any number of workers share the queue, with or without
    Ray.

    A text may be written more than once, if a worker is killed; what it leads to and the end of its job are
    one transaction, so it has the effect of one."""

    def __init__(
        self, database: Database, writer: TextWriter, moderator: Moderator, settings: Settings
    ) -> None:
        self.id = uuid.uuid4()
        self._database = database
        self._writer = writer
        self._moderator = moderator
        self._jobs = InferenceJobs(database)
        self._queue = InferenceQueue(database, ["reply", "icebreaker"], writer.author)
        self._worker = QueueWorker(
            self._queue,
            self._attempt,
            worker=self.id,
            noun="text",
            together=TOGETHER,
            lease=timedelta(seconds=settings.match_lease_seconds),
            refill=True,
        )
        self._keep = timedelta(days=settings.text_jobs_kept_days)

    async def run(self) -> None:
        """Work until cancelled: when woken, and when a job or a lease is due."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tidy())
            await self._worker.run()

    def wake(self) -> None:
        """Look at the queue now: a job may be due."""
        self._worker.wake()

    async def process(self, limit: int | None = None, *, seconds: float | None = None) -> list[JobOutcome]:
        """Do jobs until none is due, `limit` are done or `seconds` have passed.

        Raises DatabaseError if no job can be claimed.
        """
        return await self._worker.process(limit, seconds=seconds)

    async def release(self) -> None:
        """Return claimed jobs to the queue and close the writer, once `run` and `process` have ended. Raises
        DatabaseError."""
        try:
            await self._worker.release()
        finally:
            await self._writer.close()

    async def _tidy(self) -> None:
        while True:
            try:
                removed = await self._jobs.prune(self._keep)
                logger.info("removed %d old jobs of texts", removed)
            except DatabaseError as exc:
                logger.warning("cannot remove old jobs of texts now: %s", exc.message)
            await asyncio.sleep(TIDY_EVERY_S)

    async def _attempt(self, job: ClaimedInference) -> JobOutcome:
        subject = await subject_of(self._database, job)
        if subject is None:
            raise TextRefusedError(NOT_WANTED)
        try:
            written = await self._writer.write(subject, self._teller(job))
        except (TextProviderBusyError, TextRefusedError) as exc:
            await self._queue.spend(job, *exc.tokens)
            raise
        try:
            text = await self._checked(written.text)
        except (TextProviderBusyError, TextRefusedError):
            await self._queue.spend(job, written.use.tokens_in or 0, written.use.tokens_out or 0)
            raise
        result = {"text": text, "model": self._writer.author.model}
        done = await self._queue.complete(job, written.use, result=result, effect=_effect(job, text))
        return JobOutcome(job.id, "completed" if done else "lost")

    async def _checked(self, written: str) -> str:
        """What is shown of a text. Raises TextRefusedError if nothing may be, TextProviderBusyError if it
        cannot be judged now."""
        text = shown(written)
        if not text:
            raise TextRefusedError(NOTHING)
        if not await self._moderator.allows(text):
            raise TextRefusedError(NOT_SHOWN)
        return text

    def _teller(self, job: ClaimedInference) -> OnText:
        """Tells the reader of a reply how it begins, now and then, as far as it may be shown. What fails
        here is no reason to lose the text."""
        last, told = time.monotonic(), ""

        async def tell(so_far: str) -> None:
            nonlocal last, told
            if job.kind != "reply" or time.monotonic() - last < TELL_EVERY_S:
                return
            last = time.monotonic()
            beginning = shown_so_far(so_far)
            if beginning in {"", told}:
                return
            try:
                if await self._moderator.allows(beginning):
                    await self._jobs.tell_of_draft(job, beginning)
                    told = beginning
            except SemblanceError as exc:
                logger.warning("the beginning of a text is not told: %s", exc.message)

        return tell


def _effect(job: ClaimedInference, text: str) -> Effect | None:
    """What a text changes at once: a reply nothing, because it is a draft until its reader sends it."""
    message_id = job.message_id
    if job.kind != "icebreaker" or message_id is None:
        return None

    async def replace(connection: Connection) -> None:
        await replace_icebreaker(connection, message_id, text)

    return replace
