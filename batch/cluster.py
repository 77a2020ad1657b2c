"""Which Ray an ingestion runs on, and how many workers it may have there."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import onnxruntime
import ray
from ray.data import DataContext

from semblance.errors import ConfigurationError

LOCAL = "local"
"""Address that starts a Ray of this process's own."""

WORKERS_PER_GPU = 4
"""Default share of a GPU: decoding on the CPU is the slower half, so one worker cannot keep it busy."""

LEAST_CPUS = 0.01
"""Smallest share of a core to ask for: where a running service has reserved all cores, a whole one would
be waited for without end. Shares are for placement only; they do not slow a worker down."""


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


def plan_pool(actors: int | None, provider: Literal["auto", "cpu", "cuda"]) -> Pool:
    """Workers for the connected cluster: `actors`, else one per core, on GPUs WORKERS_PER_GPU each.

    provider: onnxruntime's, as in the settings. What other applications have reserved is left to them:
    where less than a core per worker is free, workers reserve an equal part of that.
    """
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    gpus = total.get("GPU", 0.0)
    cuda = provider == "cuda" or (
        provider == "auto" and gpus > 0 and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    )
    if actors is None:
        actors = max(1, int(total.get("CPU", 1)))
        if cuda and gpus > 0:
            actors = min(actors, int(gpus * WORKERS_PER_GPU))
    return Pool(
        actors,
        _share(free.get("CPU", 0.0), actors),
        # A whole GPU can hold fractions only of itself, so many GPUs are shared as one would be.
        _share(free.get("GPU", 0.0), actors) if cuda and gpus > 0 else 0.0,
    )


def _share(free: float, actors: int) -> float:
    """An equal part of what is free, at most 1, rounded down to the hundredths in which Ray counts."""
    return min(1.0, max(LEAST_CPUS, int(100 * free / actors) / 100))


def configure_data() -> None:
    """Ray Data as an ingestion wants it: results in input order, its own progress display off, and a
    block whose worker keeps dying left out instead of ending the run."""
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1
