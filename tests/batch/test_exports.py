"""What a process of a Ray records is exported by Ray's node, exactly and for as long as the process lives."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from deployments.ray_metrics import metrics_text
from semblance.metrics import GALLERY_ROWS, REFUSALS, SEARCH_SECONDS
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_address")]

OURS = "exported"
"""A label of this test's series alone."""


async def exported() -> dict[str, float]:
    """The test's series by their names; buckets by their bounds."""
    return {
        sample.labels.get("le", sample.name): sample.value
        for sample in await samples()
        if OURS in sample.labels.values()
    }


async def samples() -> list[Sample]:
    """All that is exported."""
    return [
        sample for family in text_string_to_metric_families(await metrics_text()) for sample in family.samples
    ]


RAY_FORGETS_S = 20
"""A gauge that nobody sets, after twice the time of Ray's reports."""


@pytest.mark.timeout(3 * PATIENCE_S)
async def test_values_are_exact_and_stay() -> None:
    durations = (0.0701, 0.0702, 4.0)
    for seconds in durations:
        SEARCH_SECONDS.observe(seconds, kind=OURS)
    REFUSALS.count(code=OURS)
    REFUSALS.count(2, code=OURS)
    GALLERY_ROWS.put(7, pack=OURS)
    began = time.monotonic()
    expected: dict[str, float] = {
        **{le: sum(seconds <= float(le) for seconds in durations) for le in SEARCH_SECONDS.bounds},
        "semblance_search_seconds_count": 3,
        "semblance_search_seconds_sum": sum(durations),
        REFUSALS.name: 3,
        GALLERY_ROWS.name: 7,
    }
    await wait_for_export(exported, pytest.approx(expected))
    REFUSALS.count(code=OURS)
    GALLERY_ROWS.put(0, pack=OURS)
    expected |= {REFUSALS.name: 4, GALLERY_ROWS.name: 0}
    await wait_for_export(exported, pytest.approx(expected))
    await asyncio.sleep(began + 2 * RAY_FORGETS_S - time.monotonic())
    assert await exported() == pytest.approx(expected)


MANY = 200
"""With 14 buckets each, more than the 2,000 series of one metric that Ray keeps apart."""


async def test_every_route_has_all_buckets() -> None:
    for number in range(MANY):
        SEARCH_SECONDS.observe(0.0701, kind=f"route {number}")

    async def buckets() -> Counter[tuple[str, float]]:
        return Counter(
            (sample.labels["le"], sample.value)
            for sample in await samples()
            if sample.name == "semblance_search_seconds_bucket" and "route" in sample.labels.get("kind", "")
        )

    expected = {(le, 1.0 if float(le) > 0.0701 else 0.0): MANY for le in SEARCH_SECONDS.bounds}
    await wait_for_export(buckets, expected)


async def wait_for_export(read: Callable[[], Awaitable[object]], expected: object) -> None:
    """Return once this is exported."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := await read()) != expected:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.5)
