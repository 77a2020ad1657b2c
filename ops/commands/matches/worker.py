"""`semblance worker`."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import nullcontext, suppress
from functools import cached_property

import uvloop

from db.pool import Database
from deployments.faces.decoder import DecoderProcess
from deployments.faces.pipeline import LocalPipeline
from deployments.packs.registry import load_pack
from deployments.text_queue import TextQueue
from matching.worker import MatchWorker
from ops.commands.database import open_database
from ops.commands.output import console
from semblance.error_reports import report_errors
from semblance.logging import configure_logging
from semblance.otlp import tracing
from semblance.recorder import local
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import AnalyzedFace, Detection, JobOutcome


class _LazyFaces:
    """The pack's nets in this process, loaded when a face without a description must be analyzed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        return await asyncio.to_thread(lambda: self._pipeline.analyze_photo(data, max_faces))

    @cached_property
    def _pipeline(self) -> LocalPipeline:
        return LocalPipeline(self._settings, DecoderProcess(self._settings))


def run_worker(settings: Settings, *, once: bool, metrics_port: int | None) -> None:
    """Work on match jobs and texts until a signal arrives; with `once` until none is due.

    Raises ConfigurationError if the port for metrics is taken.
    """
    configure_logging(settings)
    report_errors(settings)
    measuring = nullcontext() if metrics_port is None else local.serving(metrics_port)
    with measuring, open_database(settings) as dsn, tracing(settings):
        # The event loop of a replica: each trip to the database takes a fifth less of the processor.
        outcomes = uvloop.run(_run(settings, dsn, once=once))
    if once:
        _print(outcomes)


async def _run(settings: Settings, dsn: str, *, once: bool) -> list[JobOutcome]:
    database = await Database.connect(dsn, pool_size=settings.database_pool_size)
    try:
        model = load_pack(settings).info
        worker = MatchWorker(database, open_storage(settings), _LazyFaces(settings), model, settings)
        texts = TextQueue.open(database, settings)
        try:
            if once:
                return [*await worker.process(), *await texts.process()]
            await _until_signal(worker, texts)
            return []
        finally:
            await worker.release()
            await texts.release()
    finally:
        await database.close()


async def _until_signal(worker: MatchWorker, texts: TextQueue) -> None:
    task = asyncio.create_task(_both(worker, texts))
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, task.cancel)
    console.print("Waiting for match jobs and texts; Ctrl-C ends this.")
    with suppress(asyncio.CancelledError):
        await task


async def _both(worker: MatchWorker, texts: TextQueue) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(worker.run())
        tasks.create_task(texts.run())


def _print(outcomes: list[JobOutcome]) -> None:
    counts = Counter(outcome.status for outcome in outcomes)
    parts = [f"{count} {status}" for status, count in sorted(counts.items())]
    console.print(f"{len(outcomes)} jobs{': ' if parts else ''}{', '.join(parts)}.")
