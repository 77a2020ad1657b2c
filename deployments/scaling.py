"""Autoscaling policies where Serve's own, by requests alone, would be wrong: for the API, whose open sockets
weigh less than requests and whose reads keep its event loop busy while few of them are in progress, and for
the Matcher and the Writer, whose work comes from the database.

Each returns a number of replicas, to which Serve applies its bounds and delays.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import psutil
import ray

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

OPEN_SOCKETS = "open_sockets"
"""Metric with which API replicas report their realtime connections."""

SOCKETS_PER_REPLICA = 500
"""Sockets that one replica serves well within the promised time (benchmarks/realtime.py)."""

BUSY = "busy"
"""Metric with which API replicas report the share of the time in which their event loop worked, 0..1."""

BUSY_PER_REPLICA = 0.4
"""Share at which an answer waits for others for two thirds of its own time (M/M/1: busy / (1 - busy))."""

IDLE_CORES = "idle_cores"
"""Metric with which API replicas report how many cores idled, on average, as far as they know."""

WAITING_JOBS = "waiting_jobs"
"""Metric with which each replica of the Matcher, or of the Writer, reports the length of their queue."""

JOBS_PER_REPLICA = 200
"""Match jobs that one replica does in 5 to 10 seconds with 100,000 celebrities
(benchmarks/celebrity_match.py)."""

TEXTS_PER_REPLICA = 200
"""Texts that one replica has written in about half a minute by a provider that takes two seconds for each,
with `deployments.writing.worker.TOGETHER` of them at once."""


class BusyShare:
    """How much of the time the thread works that makes this and calls it."""

    def __init__(self) -> None:
        self._measured, self._worked = time.perf_counter(), time.thread_time()

    def since_last(self) -> float:
        """The share of the time since the last call in which the thread used a core, 0..1."""
        now, worked = time.perf_counter(), time.thread_time()
        share = (worked - self._worked) / max(now - self._measured, 1e-6)
        self._measured, self._worked = now, worked
        return min(1.0, max(0.0, share))


class IdleCores:
    """How many cores have nothing to do: of this machine, and all of the cluster's other machines, where a
    replica that is added may run, and of which this one knows nothing."""

    def __init__(self) -> None:
        self._measured, self._idled = time.perf_counter(), _idle_seconds()
        # One thread, since Ray may not answer for a minute while its head restarts.
        self._thread = ThreadPoolExecutor(1)

    async def since_last(self) -> float:
        """How many cores idled since the last call, on average."""
        elsewhere = await asyncio.get_running_loop().run_in_executor(self._thread, _cores_elsewhere)
        now, idled = time.perf_counter(), _idle_seconds()
        cores = (idled - self._idled) / max(now - self._measured, 1e-6)
        self._measured, self._idled = now, idled
        return max(0.0, cores) + elsewhere


def _cores_elsewhere() -> float:
    """Of the cluster's other machines; 0 without a Ray. Blocks until Ray's head answers."""
    if not ray.is_initialized():
        return 0.0
    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    cores: list[float] = [
        node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"] and node["NodeID"] != here
    ]
    return sum(cores)


def _idle_seconds() -> float:
    """Of all cores since the machine started."""
    times = psutil.cpu_times()
    # Of systems that tell it apart, a core that waits for a disk is free for others.
    return float(times.idle + getattr(times, "iowait", 0.0))


def api_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """Serve's rule, requests over `target_ongoing_requests`, with sockets counted separately, or as many
    replicas as the work of their event loops needs if that is more and whole cores are idle.

    Serve counts a realtime connection as a request for as long as it is open. By its own rule, 500 listeners
    would need as many replicas as 500 photos in work. And a dozen clients that only read use up a core. But
    where the database and the gateway use up most of the others, one more replica makes no answer come
    sooner: it only competes with them, and the answers of the one that gets less of a core come late.
    """
    if context.current_num_replicas == 0:
        return context.target_num_replicas, {}
    sockets = sum(_reported(context, OPEN_SOCKETS))
    requests = max(0.0, context.total_num_requests - sockets)
    by_requests = requests / _target(context) + sockets / SOCKETS_PER_REPLICA
    by_work = sum(_reported(context, BUSY)) / BUSY_PER_REPLICA
    # Replicas on different machines know of different cores.
    with_cores = context.current_num_replicas + int(max(_reported(context, IDLE_CORES), default=0.0))
    return max(by_requests, min(by_work, with_cores)), {}


def matcher_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """By the length of the queue, plus the few requests to drain it."""
    return _by_queue(context, JOBS_PER_REPLICA)


def writer_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """As `matcher_replicas`, by the queue of texts."""
    return _by_queue(context, TEXTS_PER_REPLICA)


def _by_queue(context: AutoscalingContext, jobs_per_replica: int) -> tuple[float, dict[str, Any]]:
    if context.current_num_replicas == 0:
        return context.target_num_replicas, {}
    waiting = max(_reported(context, WAITING_JOBS), default=0.0)
    return waiting / jobs_per_replica + context.total_num_requests / _target(context), {}


def _reported(context: AutoscalingContext, metric: str) -> list[float]:
    """Each replica's reports, averaged over Serve's look-back period."""
    return list((context.aggregated_metrics or {}).get(metric, {}).values())


def _target(context: AutoscalingContext) -> float:
    # Always set where a deployment scales.
    return cast("AutoscalingConfig", context.config).get_target_ongoing_requests()
