"""Requests and how long they took, from the service's own metrics."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from semblance.metrics import REQUEST_SECONDS, REQUESTS

_Buckets = Counter[float]
"""How many requests took at most so many seconds."""


@dataclass(frozen=True, slots=True)
class RouteTraffic:
    """Requests of a route since its processes started. failed: answered with 500 or more. median,
    slow: seconds until the answer began, of half the requests and of 95 % at most; None without any."""

    method: str
    route: str
    requests: int
    failed: int
    median: float | None
    slow: float | None


def traffic_of(text: str) -> list[RouteTraffic]:
    """Traffic by route, the busiest first.

    Args:
        text: Metrics in Prometheus' text format, of any number of processes.
    """
    requests, failed = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    buckets = defaultdict[tuple[str, str], _Buckets](Counter)
    for family in text_string_to_metric_families(_of_requests(text)):
        for sample in family.samples:
            labels = sample.labels
            key = (labels.get("method", ""), labels.get("route", ""))
            if sample.name == REQUESTS.name:
                requests[key] += round(sample.value)
                failed[key] += round(sample.value) if labels["status"].startswith("5") else 0
            elif sample.name == f"{REQUEST_SECONDS.name}_bucket":
                buckets[key][float(labels["le"])] += round(sample.value)
    return [
        RouteTraffic(*key, count, failed[key], quantile(buckets[key], 0.5), quantile(buckets[key], 0.95))
        for key, count in sorted(requests.items(), key=lambda item: (-item[1], item[0]))
    ]


def quantile(buckets: _Buckets, share: float) -> float | None:
    """The duration that this share of the requests took at most, estimated as Prometheus does: evenly spread
    within a bucket, and the last bound for what is beyond. None without requests."""
    bounds = sorted(buckets)
    wanted = share * buckets[bounds[-1]] if bounds else 0
    if not wanted:
        return None
    below, lower = 0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if math.isinf(bound):
                break
            return lower + (bound - lower) * (wanted - below) / (buckets[bound] - below)
        below, lower = buckets[bound], bound
    return lower


def _of_requests(text: str) -> str:
    """The lines about requests; parsing all others would take most of the time."""
    ours = tuple(
        f"{prefix}{metric.name}" for prefix in ("", "# TYPE ") for metric in (REQUESTS, REQUEST_SECONDS)
    )
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith(ours))
