"""Which Ray an ingestion runs on, and how many workers it may have there."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal, NoReturn

import onnxruntime
import ray
from ray.data import DataContext

from semblance.errors import ConfigurationError

LOCAL = "local"
"""Address that starts a Ray of this process's own."""

WORKERS_PER_GPU = 4
"""Default share of a GPU: decoding on the CPU is the slower half, so one worker cannot keep it busy."""


MOST_OF_A_CORE = 0.5
"""Most that a worker reserves, though it computes on a whole core: the workers of a node that is lost find
room on the others, and would wait for its return where those are full."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Size of the pool of workers and what each reserves."""

    actors: int
    num_cpus: float
    num_gpus: float


@contextmanager
def ray_session(address: str) -> Iterator[None]:
    """Connect to the Ray at `address`, or run one for as long as the context lasts (LOCAL). Where this
    process is connected to a Ray already, that one is used and stays.

    Raises ConfigurationError where none answers.
    """
    if ray.is_initialized():
        yield
        return
    try:
        if address == LOCAL:
            _start_local()
        else:
            ray.init(address, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise ConfigurationError(
            f"No Ray answers at {address}: {exc}. Submit to a cluster with `ray job submit`, or leave "
            "RAY_ADDRESS unset to run on this machine alone."
        ) from exc
    try:
        yield
    finally:
        ray.shutdown()


def _start_local() -> None:
    # Ray listens on the network and its ports take pickles, so it asks for a token where nobody chose
    # otherwise. One of this run's own, or it writes one to a file that each later `ray start` demands.
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(LOCAL, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def cluster_pool(actors: int | None, provider: Literal["auto", "cpu", "cuda"]) -> Pool:
    """The pool for the connected cluster. actors: as asked for, None to choose. provider: onnxruntime's, as
    in the settings. Raises ConfigurationError where a GPU is required and none is free."""
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    able = provider == "cuda" or "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    pool = plan_pool(actors, total, free, use_gpu=provider != "cpu" and able)
    if provider == "cuda" and not pool.num_gpus:
        raise ConfigurationError(
            "SEMBLANCE_EXECUTION_PROVIDER=cuda, but no GPU of this Ray cluster is free: stop what holds it, "
            "or set SEMBLANCE_EXECUTION_PROVIDER=cpu for this job."
        )
    return pool


def plan_pool(
    actors: int | None, total: Mapping[str, float], free: Mapping[str, float], *, use_gpu: bool
) -> Pool:
    """Divide a cluster's resources: `actors` workers, else one per core, on GPUs WORKERS_PER_GPU each.

    total, free: Ray's resources by name, free without what running applications have reserved. That is
    left to them: where less than MOST_OF_A_CORE per worker is free, workers reserve an equal part of it, down
    to nothing, and compete for the cores. What is not free would be waited for without end; a share is for
    placement only and does not slow a worker down. A GPU is another matter: what is reserved is taken.
    """
    gpus = int(total.get("GPU", 0)) if use_gpu and free.get("GPU", 0) else 0
    if actors is None:
        actors = max(1, int(total.get("CPU", 1)))
        if gpus:
            actors = min(actors, gpus * WORKERS_PER_GPU)
    # A worker's share lies on one GPU, so what fits on each counts, not what all have together.
    num_gpus = _hundredths(free.get("GPU", 0) / gpus / -(-actors // gpus)) if gpus else 0.0
    return Pool(actors, _hundredths(min(MOST_OF_A_CORE, free.get("CPU", 0) / actors)), num_gpus)


def _hundredths(share: float) -> float:
    """At most 1, rounded down so that the sum of the shares is still free."""
    return min(1.0, int(100 * share + 1e-6) / 100)


def configure_data() -> None:
    """Ray Data as an ingestion wants it: results in input order, its own progress display off, and a
    block whose worker keeps dying left out instead of ending the run."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1


def stop_at_once(number: int, _: FrameType | None) -> NoReturn:
    """Handles a signal: ends. A job may be killed at any point, so nothing is waited for but Ray's processes;
    Ray Data would take half a minute to notice, and log how it failed."""
    logging.disable()
    sys.stderr.write("\nInterrupted. What is done is kept; the same command goes on from there.\n")
    sys.stderr.flush()
    ray.shutdown()
    os._exit(128 + number)
