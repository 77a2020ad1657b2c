from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.serve.config import AutoscalingConfig, AutoscalingContext

from serve_app.scaling import OPEN_SOCKETS, replicas


@pytest.mark.parametrize(
    ("requests", "sockets", "wanted"),
    [(0, [], 0), (96, [], 2), (500, [500], 1), (1048, [600, 400], 3), (100, [250], 0.5)],
)
def test_sockets_weigh_less_than_requests(requests: float, sockets: list[float], wanted: float) -> None:
    """Sockets are among the requests; the two are counted at slightly different times."""
    context: Any = SimpleNamespace(
        current_num_replicas=1,
        target_num_replicas=1,
        total_num_requests=requests,
        aggregated_metrics={OPEN_SOCKETS: dict(enumerate(sockets))},
        config=AutoscalingConfig(target_ongoing_requests=48),
    )
    number, _ = replicas(cast(AutoscalingContext, context))
    assert number == pytest.approx(wanted)
