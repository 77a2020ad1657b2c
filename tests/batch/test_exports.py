"""What a process of a Ray records is exported by Ray's node, exactly."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.ray_metrics import metrics_text
from semblance.metrics import GALLERY_ROWS, REFUSALS, SEARCH_SECONDS
from tests.support.waiting import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_address")]

OURS = "exported"
"""A label of this test's series alone."""


async def exported() -> dict[str, float]:
    """The test's series by their names; buckets by their bounds."""
    families = text_string_to_metric_families(await metrics_text())
    return {
        sample.labels.get("le", sample.name): sample.value
        for family in families
        for sample in family.samples
        if OURS in sample.labels.values()
    }


@pytest.mark.timeout(2 * PATIENCE_S)
async def test_values_are_exact() -> None:
    for seconds in (0.0701, 0.0702, 4.0):
        SEARCH_SECONDS.observe(seconds, kind=OURS)
    REFUSALS.count(code=OURS)
    REFUSALS.count(2, code=OURS)
    GALLERY_ROWS.put(7, pack=OURS)
    found = await waited_for(refused=3)
    assert found["semblance_search_seconds_sum"] == pytest.approx(4.1403)
    assert found["semblance_search_seconds_count"] == 3
    assert (found["0.05"], found["0.1"], found["2.5"], found["5.0"], found["+Inf"]) == (0, 2, 2, 3, 3)
    assert found["semblance_gallery_rows"] == 7

    REFUSALS.count(code=OURS)
    GALLERY_ROWS.put(0, pack=OURS)
    found = await waited_for(refused=4)
    assert found["semblance_gallery_rows"] == 0


async def waited_for(*, refused: float) -> dict[str, float]:
    """What is exported once so many refusals are."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while (found := await exported()).get(REFUSALS.name) != refused:
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(0.5)
    return found
