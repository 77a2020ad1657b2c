"""Which Ray a job runs on, and how many workers it may have there."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from types import FrameType
from typing import Literal, NoReturn

# Read when Ray is imported. Under `uv run` Ray would also start its workers through uv, each with its own
# environment, which hangs without a network.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

import ray
from ray.exceptions import RayError

from deployments.packs.sessions import has_cuda
from deployments.ray_metrics import exported_by_ray
from semblance.errors import ConfigurationError, WorkersError

LOCAL = "local"
"""Address that starts a Ray for this process alone."""

WORKERS_PER_GPU = 4
"""Default share of a GPU: decoding on the CPU is the slower half, so one worker cannot keep it busy."""


MOST_OF_A_CORE = 0.5
"""Largest share of a core that a worker reserves, although it computes on a whole one. So the workers of a
lost node find room on the others; with whole cores reserved they would wait for the node to return."""


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """How many workers a job has, and what each reserves."""

    actors: int
    num_cpus: float
    num_gpus: float

    def for_items(self, items: int) -> PoolPlan:
        """The plan with no more workers than items."""
        return replace(self, actors=min(self.actors, items))

    def batch_size(self, items: int, most: int) -> int:
        """Items of one batch, at most `most`, so that every worker gets some."""
        return min(most, -(-items // max(self.actors, 1)))


@contextmanager
def ray_session(address: str) -> Iterator[None]:
    """Connect to the Ray at `address`, or with LOCAL run one for as long as the context lasts. If this
    process is already connected to a Ray, that one is used and stays.

    Raises ConfigurationError if none answers, and WorkersError for an error of Ray that nothing else handled.
    """
    is_connected = ray.is_initialized()
    try:
        if not is_connected:
            _connect(address)
        with nullcontext() if is_connected else exported_by_ray():
            yield
    except RayError as exc:
        raise WorkersError(
            f"Ray was stopped or failed: {last_line(exc)} What is done is kept; the same command goes on "
            "from there."
        ) from exc
    finally:
        if not is_connected:
            ray.shutdown()


def last_line(error: RayError) -> str:
    """What went wrong, without the traceback of everything between: the worker's own error comes last."""
    return str(error).strip().rpartition("\n")[2]


def _connect(address: str) -> None:
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


def _start_local() -> None:
    # Ray listens on the network and its ports take pickles, so it must ask for a token unless the user chose
    # otherwise. Without a token for this run Ray writes one to a file, and later `ray start`s demand it.
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its workers give way by themselves. Ray would have them give way three times as far.
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(LOCAL, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def plan_cluster_pool(
    actors: int | None, provider: Literal["auto", "cpu", "cuda"], most: float = MOST_OF_A_CORE
) -> PoolPlan:
    """The pool for the connected cluster.

    Args:
        actors: How many workers; None to choose.
        provider: Of onnxruntime, as in the settings.
        most: The largest share of a core that each reserves.

    Raises ConfigurationError if a GPU is required and none is free.
    """
    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    able = provider == "cuda" or has_cuda()
    pool = plan_pool(actors, total, free, use_gpu=provider != "cpu" and able, most=most)
    if provider == "cuda" and not pool.num_gpus:
        raise ConfigurationError(
            "SEMBLANCE_EXECUTION_PROVIDER=cuda, but no GPU of this Ray cluster is free: stop what holds it, "
            "or set SEMBLANCE_EXECUTION_PROVIDER=cpu for this job."
        )
    return pool


def plan_pool(
    actors: int | None,
    total: Mapping[str, float],
    free: Mapping[str, float],
    *,
    use_gpu: bool,
    most: float = MOST_OF_A_CORE,
) -> PoolPlan:
    """Divide a cluster's resources among the workers.

    Workers reserve equal parts of the cores that are free, at most `most` of one each, down to nothing: Ray
    would wait forever for more than is free. The share of a core is for placement only; workers compete for
    the cores with what else runs there. The share of a GPU is real: what others have reserved is taken.

    Args:
        actors: How many workers; None for one per core, or on GPUs WORKERS_PER_GPU each.
        total: Ray's resources by name.
        free: The same without what running applications have reserved.
        use_gpu: Whether the nets can run on a GPU.
        most: The largest share of a core that each reserves.
    """
    gpus = int(total.get("GPU", 0)) if use_gpu and free.get("GPU", 0) else 0
    if actors is None:
        actors = max(1, int(total.get("CPU", 1)))
        if gpus:
            actors = min(actors, gpus * WORKERS_PER_GPU)
    # A worker's share must fit on one GPU, so what is free on each counts, not the sum.
    num_gpus = _hundredths(free.get("GPU", 0) / gpus / -(-actors // gpus)) if gpus else 0.0
    return PoolPlan(actors, _hundredths(min(most, free.get("CPU", 0) / actors)), num_gpus)


def _hundredths(share: float) -> float:
    """At most 1, rounded down so that the sum of the shares is still free."""
    return min(1.0, int(100 * share + 1e-6) / 100)


def stop_at_once(number: int, _: FrameType | None) -> NoReturn:
    """Handle a signal: end the process, which waits only for Ray's processes. A job may be killed at any
    point, so there is nothing to finish."""
    logging.disable()
    sys.stderr.write("\nInterrupted. What is done is kept; the same command continues from there.\n")
    sys.stderr.flush()
    ray.shutdown()
    os._exit(128 + number)
