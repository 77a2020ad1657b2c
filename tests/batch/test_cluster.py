"""Workers get the free resources, and start even if a running service has reserved all of them."""

from __future__ import annotations

import pytest

from batch.cluster import PoolPlan, plan_pool

CASES = [
    # actors, total, free, use_gpu, expected
    (None, {"CPU": 2.0}, {"CPU": 2.0}, False, PoolPlan(2, 0.5, 0.0)),
    (None, {"CPU": 2.0}, {"CPU": 0.4}, False, PoolPlan(2, 0.2, 0.0)),
    (None, {"CPU": 2.0}, {}, False, PoolPlan(2, 0.0, 0.0)),
    (3, {"CPU": 2.0}, {"CPU": 2.0}, False, PoolPlan(3, 0.5, 0.0)),
    (1, {"CPU": 16.0}, {"CPU": 16.0}, False, PoolPlan(1, 0.5, 0.0)),
    (None, {"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 1.0}, True, PoolPlan(4, 0.5, 0.25)),
    (None, {"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 1.0}, False, PoolPlan(16, 0.5, 0.0)),
    (None, {"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 0.5}, True, PoolPlan(4, 0.5, 0.12)),
    (None, {"CPU": 16.0, "GPU": 1.0}, {"CPU": 16.0}, True, PoolPlan(16, 0.5, 0.0)),
    (3, {"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0, "GPU": 2.0}, True, PoolPlan(3, 0.5, 0.5)),
    (None, {"CPU": 64.0, "GPU": 3.0}, {"CPU": 64.0, "GPU": 3.0}, True, PoolPlan(12, 0.5, 0.25)),
    (None, {}, {}, True, PoolPlan(1, 0.0, 0.0)),
]


@pytest.mark.parametrize(("actors", "total", "free", "use_gpu", "expected"), CASES)
def test_the_pool(
    actors: int | None, total: dict[str, float], free: dict[str, float], *, use_gpu: bool, expected: PoolPlan
) -> None:
    assert plan_pool(actors, total, free, use_gpu=use_gpu) == expected


@pytest.mark.parametrize(("free", "share"), [(4.0, 1.0), (3.0, 0.75), (1.0, 0.25), (0.0, 0.0)])
def test_who_reserves_whole_cores_shares_what_is_left(free: float, share: float) -> None:
    assert plan_pool(None, {"CPU": 4.0}, {"CPU": free}, use_gpu=False, most=1.0) == PoolPlan(4, share, 0.0)


@pytest.mark.parametrize(
    ("actors", "items", "most", "expected_actors", "expected_size"),
    [(4, 1000, 32, 4, 32), (4, 40, 32, 4, 10), (4, 41, 32, 4, 11), (4, 3, 32, 3, 1), (4, 0, 32, 0, 0)],
)
def test_few_items_are_spread_over_the_workers(
    actors: int, items: int, most: int, expected_actors: int, expected_size: int
) -> None:
    plan = PoolPlan(actors, 0.5, 0.0).for_items(items)
    assert (plan.actors, plan.batch_size(items, most)) == (expected_actors, expected_size)
