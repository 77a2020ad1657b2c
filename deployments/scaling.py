"""How many replicas there should be where Serve's own rule, by requests alone, would be wrong: the API, whose
open sockets weigh less than requests, and the Matcher, whose work comes from the database.

Each returns a number to which Serve applies bounds and delays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingConfig, AutoscalingContext

OPEN_SOCKETS = "open_sockets"
"""Name of the metric by which replicas of the API report their realtime connections."""

SOCKETS_PER_REPLICA = 500
"""What one replica tells well within the time promised (benchmarks/realtime.py)."""

WAITING_JOBS = "waiting_jobs"
"""Name of the metric by which each replica of the Matcher reports how long the one queue is."""

JOBS_PER_REPLICA = 200
"""What one replica does in 5 to 10 seconds with 100,000 celebrities (benchmarks/celebrity_match.py)."""


def api_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """As Serve's rule, requests over `target_ongoing_requests`, with sockets counted apart.

    Serve counts a realtime connection as a request that goes on for its whole life. By its own rule 500
    people who listen would be as many replicas as 500 pictures being worked on.
    """
    if context.current_num_replicas == 0:
        return context.target_num_replicas, {}
    sockets = sum(_reported(context, OPEN_SOCKETS))
    requests = max(0.0, context.total_num_requests - sockets)
    return requests / _target(context) + sockets / SOCKETS_PER_REPLICA, {}


def matcher_replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """By the length of the queue, beside the requests to drain it, which are few."""
    if context.current_num_replicas == 0:
        return context.target_num_replicas, {}
    waiting = max(_reported(context, WAITING_JOBS), default=0.0)
    return waiting / JOBS_PER_REPLICA + context.total_num_requests / _target(context), {}


def _reported(context: AutoscalingContext, metric: str) -> list[float]:
    """What each replica has reported, on average over the time that Serve looks back."""
    return list((context.aggregated_metrics or {}).get(metric, {}).values())


def _target(context: AutoscalingContext) -> float:
    # Set wherever a deployment scales.
    return cast("AutoscalingConfig", context.config).get_target_ongoing_requests()
