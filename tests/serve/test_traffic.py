"""Requests and latencies from metrics, and queues from what Ray exports."""

from __future__ import annotations

from collections import Counter

import pytest

from semblance.metrics import REQUEST_SECONDS, REQUESTS
from semblance.recorder import Recorder
from serve_app.serving import load
from serve_app.traffic import quantile, traffic_of


def test_traffic_is_summed_over_processes_by_route() -> None:
    texts = []
    for process in "ab":
        recorder = Recorder()
        for status, count in (("200", 3), ("503", 1)):
            labels = {"method": "POST", "route": "/lookalikes", "status": status}
            recorder.count(REQUESTS, count, labels)
        recorder.count(REQUESTS, 1, {"method": "GET", "route": "/health", "status": "200"})
        for seconds in (0.2, 0.2, 0.2, 3.0):
            recorder.observe(REQUEST_SECONDS, seconds, {"method": "POST", "route": "/lookalikes"})
        texts.append(recorder.text().replace("{", f'{{WorkerId="{process}",'))
    # As in one text format, the types once.
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("#")]
    lines.sort(key=lambda line: "_seconds" in line)
    found = traffic_of("\n".join(lines))
    assert [(each.method, each.route, each.requests, each.failed) for each in found] == [
        ("POST", "/lookalikes", 8, 2),
        ("GET", "/health", 2, 0),
    ]
    assert found[0].median == pytest.approx(0.2, abs=0.05)
    assert found[0].slow == pytest.approx(4.5)
    assert found[1].median is None


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0, float("inf"): 0}, 0.5, None),
        ({1.0: 10, 2.0: 10, float("inf"): 10}, 0.5, 0.5),
        ({1.0: 5, 3.0: 10, float("inf"): 10}, 0.75, 2.0),
        ({1.0: 5, 3.0: 5, float("inf"): 10}, 0.95, 3.0),
    ],
)
def test_a_quantile_as_prometheus_estimates_it(
    buckets: dict[float, int], share: float, expected: float | None
) -> None:
    assert quantile(Counter(buckets), share) == expected


def test_the_load_of_deployments_is_that_of_one_application() -> None:
    text = """\
# HELP ray_serve_deployment_queued_queries Waiting.
# TYPE ray_serve_deployment_queued_queries gauge
ray_serve_deployment_queued_queries{application="semblance",deployment="Detector",handle="a"} 2.0
ray_serve_deployment_queued_queries{application="semblance",deployment="Detector",handle="b"} 1.0
ray_serve_deployment_queued_queries{application="other",deployment="Detector",handle="b"} 9.0
# HELP ray_serve_replica_processing_queries Working.
# TYPE ray_serve_replica_processing_queries gauge
ray_serve_replica_processing_queries{application="semblance",deployment="API",replica="x"} 4.0
ray_other{application="semblance"} 1.0
"""
    assert load([text, ""], "semblance") == ({"Detector": 3}, {"API": 4})
    assert load([], "semblance") == ({}, {})
