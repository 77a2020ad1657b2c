from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from deployments.scaling import (
    BUSY,
    IDLE_CORES,
    OPEN_SOCKETS,
    WAITING_JOBS,
    BusyShare,
    IdleCores,
    api_replicas,
    matcher_replicas,
    writer_replicas,
)


def context(requests: float, target: float, **reported: list[float]) -> AutoscalingContext:
    """reported: of each replica, by metric."""
    given: Any = SimpleNamespace(
        current_num_replicas=max(map(len, reported.values()), default=1) or 1,
        target_num_replicas=1,
        total_num_requests=requests,
        aggregated_metrics={metric: dict(enumerate(values)) for metric, values in reported.items()},
        config=AutoscalingConfig(target_ongoing_requests=target),
    )
    return cast(AutoscalingContext, given)


@pytest.mark.parametrize(
    ("requests", "sockets", "wanted"),
    [(0, [], 0), (96, [], 2), (500, [500], 1), (1048, [600, 400], 3), (100, [250], 0.5)],
)
def test_sockets_weigh_less_than_requests(requests: float, sockets: list[float], wanted: float) -> None:
    """Sockets are among the requests; the two are counted at slightly different times."""
    number, _ = api_replicas(context(requests, 48, **{OPEN_SOCKETS: sockets}))
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
    number, _ = api_replicas(context(requests, 48, **{BUSY: busy, IDLE_CORES: [16.0]}))
    assert number == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("requests", "busy", "idle", "wanted"),
    [
        (16, [0.95], [0.2], 1),
        (16, [0.95], [0.7], 1),
        (16, [0.95], [1.2], 2),
        (16, [0.95], [], 1),
        (16, [0.6, 0.6], [0.1, 0.0], 2),
        (16, [0.6, 0.6], [0.1, 3.0], 3),
        (16, [0.1, 0.1], [0.1, 0.0], 0.5),
        (144, [0.95], [0.0], 3),
    ],
)
def test_a_busy_replica_gets_another_only_where_a_core_idles(
    requests: float, busy: list[float], idle: list[float], wanted: float
) -> None:
    """Waiting requests get it everywhere, and what is not needed ends everywhere."""
    number, _ = api_replicas(context(requests, 48, **{BUSY: busy, IDLE_CORES: idle}))
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


async def test_cores_that_wait_for_a_disk_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    now, idle, waiting = 0.0, 100.0, 10.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr("psutil.cpu_times", lambda: SimpleNamespace(idle=idle, iowait=waiting))
    cores = IdleCores()
    now, idle, waiting = 4.0, 105.0, 11.0
    assert await cores.since_last() == 1.5
    now = 6.0
    assert await cores.since_last() == 0.0


async def test_cores_of_other_machines_count_as_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a machine with all its cores at work would keep the cluster from using the others."""
    nodes = [
        {"NodeID": name, "Alive": alive, "Resources": resources}
        for name, alive, resources in (
            ("here", True, {"CPU": 16.0}),
            ("there", True, {"CPU": 8.0, "GPU": 1.0}),
            ("lost", False, {"CPU": 8.0}),
            ("head", True, {}),
        )
    ]
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    monkeypatch.setattr("psutil.cpu_times", lambda: SimpleNamespace(idle=100.0))
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr("ray.get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "here"))
    cores = IdleCores()
    now = 10.0
    assert await cores.since_last() == 8.0


@pytest.mark.parametrize(
    ("requests", "waiting", "wanted"), [(0, [], 0), (2, [], 1), (0, [400], 2), (2, [590, 610], 4.05)]
)
def test_the_number_of_matchers_follows_the_queue(
    requests: float, waiting: list[float], wanted: float
) -> None:
    """All replicas report the same queue."""
    for policy in (matcher_replicas, writer_replicas):
        number, _ = policy(context(requests, 2, **{WAITING_JOBS: waiting}))
        assert number == pytest.approx(wanted)
