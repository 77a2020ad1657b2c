from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from deployments.scaling import (
    BUSY,
    OPEN_SOCKETS,
    WAITING_JOBS,
    BusyShare,
    api_replicas,
    matcher_replicas,
    writer_replicas,
)


def context(metric: str, reported: list[float], requests: float, target: float) -> AutoscalingContext:
    given: Any = SimpleNamespace(
        current_num_replicas=1,
        target_num_replicas=1,
        total_num_requests=requests,
        aggregated_metrics={metric: dict(enumerate(reported))},
        config=AutoscalingConfig(target_ongoing_requests=target),
    )
    return cast(AutoscalingContext, given)


@pytest.mark.parametrize(
    ("requests", "sockets", "wanted"),
    [(0, [], 0), (96, [], 2), (500, [500], 1), (1048, [600, 400], 3), (100, [250], 0.5)],
)
def test_sockets_weigh_less_than_requests(requests: float, sockets: list[float], wanted: float) -> None:
    """Sockets are among the requests; the two are counted at slightly different times."""
    number, _ = api_replicas(context(OPEN_SOCKETS, sockets, requests, 48))
    assert number == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("requests", "busy", "wanted"),
    [
        (0, [], 0),
        (16, [0.95], 2.375),
        (16, [0.5, 0.5], 2.5),
        (16, [0.1], 1 / 3),
        (1, [0.4], 1),
        (96, [0.2], 2),
    ],
)
def test_a_few_clients_that_only_read_need_more_replicas(
    requests: float, busy: list[float], wanted: float
) -> None:
    number, _ = api_replicas(context(BUSY, busy, requests, 48))
    assert number == pytest.approx(wanted)


def test_a_thread_is_busy_while_it_computes_and_not_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    now, worked = 0.0, 7.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr("time.thread_time", lambda: worked)
    share = BusyShare()
    now, worked = 4.0, 8.0
    assert share.since_last() == 0.25
    now = 6.0
    assert share.since_last() == 0.0
    now, worked = 8.0, 11.0
    assert share.since_last() == 1.0


@pytest.mark.parametrize(
    ("requests", "waiting", "wanted"), [(0, [], 0), (2, [], 1), (0, [400], 2), (2, [590, 610], 4.05)]
)
def test_the_number_of_matchers_follows_the_queue(
    requests: float, waiting: list[float], wanted: float
) -> None:
    """All replicas report the same queue."""
    for policy in (matcher_replicas, writer_replicas):
        number, _ = policy(context(WAITING_JOBS, waiting, requests, 2))
        assert number == pytest.approx(wanted)
