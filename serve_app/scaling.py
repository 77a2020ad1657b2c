"""How many replicas of the API there should be: open sockets weigh less than requests.

Serve counts a realtime connection as a request that goes on for its whole life. By Serve's own rule 500
people who listen would be as many replicas as 500 pictures being worked on.
"""

from __future__ import annotations

from typing import Any, cast

from ray.serve.config import AutoscalingConfig, AutoscalingContext

OPEN_SOCKETS = "open_sockets"
"""Name of the metric by which replicas report their realtime connections."""

SOCKETS_PER_REPLICA = 500
"""What one replica tells well within the time promised (benchmarks/realtime.py)."""


def replicas(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """As Serve's rule, requests over `target_ongoing_requests`, with sockets counted apart; Serve applies
    bounds and delays to the result."""
    if context.current_num_replicas == 0:
        return context.target_num_replicas, {}
    reported = (context.aggregated_metrics or {}).get(OPEN_SOCKETS, {})
    sockets = sum(reported.values())
    requests = max(0.0, context.total_num_requests - sockets)
    # Set wherever a deployment scales.
    target = cast(AutoscalingConfig, context.config).get_target_ongoing_requests()
    return requests / target + sockets / SOCKETS_PER_REPLICA, {}
