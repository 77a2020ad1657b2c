"""The bare limit: photos a second of the nets and the decoding alone, without Ray, HTTP or a database.

As many processes as cores, each with one thread, sessions that do not spin and memory as the service's
processes have it, all photos in memory.
What a service or a job loses against it is the price of everything around the nets.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from unittest.mock import patch

import cv2

from deployments.faces.memory import keep_memory
from deployments.faces.pipeline import LocalPipeline
from ops.stack.ray_head import COMPUTING
from semblance.settings import Settings

WARM_UP = 4
"""Photos that each process analyzes before the clock starts."""


def run_bare(photos: Sequence[bytes], count: int, processes: int, max_faces: int | None = None) -> float:
    """Photos a second when `count` photos, taken from `photos` in turn, are analyzed by `processes`
    processes that share a queue; the time is that from the common start to the last result."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes + 1)
    queue: Queue[int | None] = context.Queue()
    for index in [*range(count), *[None] * processes]:
        queue.put(index if index is None else index % len(photos))
    workers = [
        context.Process(target=_work, args=(photos, queue, start, max_faces)) for _ in range(processes)
    ]
    with patch.dict(os.environ, COMPUTING):
        for worker in workers:
            worker.start()
    start.wait()
    began = time.perf_counter()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - began
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a process of the bare limit failed")
    return count / elapsed


def _work(photos: Sequence[bytes], queue: Queue[int | None], start: Barrier, max_faces: int | None) -> None:
    settings = Settings(threads=1)
    # Photos are decoded in this process, so it keeps memory as the one that decodes them for a service.
    keep_memory(settings.image_memory_bytes)
    cv2.setNumThreads(1)
    pipeline = LocalPipeline(settings)
    for photo in photos[:WARM_UP]:
        pipeline.analyze_photo(photo, max_faces, counted=False)
    start.wait()
    while (index := queue.get()) is not None:
        pipeline.analyze_photo(photos[index], max_faces, counted=False)
