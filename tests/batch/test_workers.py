"""The pool that ingestion and re-embedding share: each item has one result, even if its worker dies."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import ray
from ray.exceptions import RayError

import batch.workers
from batch.cluster import PoolPlan, ray_session
from batch.workers import AHEAD, WorkerPool
from semblance.errors import ConfigurationError, WorkersError
from semblance.settings import Settings
from tests.support.submitted import JOB_CONFIG, submitted
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_address")]

TWO = PoolPlan(actors=2, num_cpus=0.0, num_gpus=0.0)


class Echo:
    """Returns its items, and dies or fails if an item says so."""

    def process(self, items: Sequence[str]) -> list[str]:
        for item in items:
            what, _, where = item.partition(":")
            if what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "die once" and not Path(where).exists():
                Path(where).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "fail":
                raise ValueError("no good")
            if what == "log":
                with Path(where).open("wb") as file:
                    os.dup2(file.fileno(), 2)
                logging.getLogger("tests").warning("here")
            if what == "wait":
                while not Path(where).exists():
                    time.sleep(0.01)
        return list(items)


class HopelessEcho(Echo):
    """Its constructor fails."""

    def __init__(self) -> None:
        raise ConfigurationError("no CUDA here")


class Niceness(Echo):
    """Returns its own for each item."""

    def process(self, items: Sequence[str]) -> list[str]:
        return [str(os.getpriority(os.PRIO_PROCESS, 0)) for _ in items]


def pool_of(plan: PoolPlan, worker: type[Echo] = Echo) -> WorkerPool[str, str]:
    return WorkerPool(
        worker, (), Settings(log_format="json"), plan, failed=lambda item, reason: f"{item}: {reason}"
    )


Batches = Sequence[Sequence[str]]


async def each(batches: Batches, taken: list[Sequence[str]] | None = None) -> AsyncIterator[Sequence[str]]:
    for items in batches:
        if taken is not None:
            taken.append(items)
        yield items


async def results(pool: WorkerPool[str, str], batches: Batches, *, in_order: bool) -> list[str]:
    found: list[str] = []
    async for items, some in pool.results(each(batches), in_order=in_order):
        assert len(items) == len(some)
        found += some
    return found


@pytest.mark.parametrize("in_order", [True, False])
async def test_results_come_in_order_or_as_they_are_ready(tmp_path: Path, *, in_order: bool) -> None:
    gate = tmp_path / "gate"
    batches = [[f"wait:{gate}"], *([str(number)] for number in range(6))]
    found: list[str] = []
    if in_order:
        gate.touch()
    async for _, some in pool_of(TWO).results(each(batches), in_order=in_order):
        found += some
        if len(found) == 5:
            gate.touch()
    flat = [item for items in batches for item in items]
    assert sorted(found) == sorted(flat)
    assert (found == flat) == in_order
    assert found.index(flat[0]) == 0 if in_order else found.index(flat[0]) >= 5


async def test_results_that_wait_for_an_earlier_batch_are_bounded(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    taken: list[Sequence[str]] = []
    numbers = [[str(number)] for number in range(200)]
    batches = each([[f"wait:{gate}"], *numbers], taken)
    most = AHEAD * 2 * TWO.actors

    found: list[str] = []
    answers = pool_of(TWO).results(batches, in_order=True)
    first = asyncio.ensure_future(anext(answers))
    await asyncio.to_thread(wait_for, lambda: len(taken) >= most)
    # Time to take more, if nothing prevented it.
    await asyncio.sleep(0.2)
    # It reads one item ahead, to know whether another one follows.
    assert most <= len(taken) <= most + 1
    assert not first.done()
    gate.touch()
    found += (await first)[1]
    async for _, some in answers:
        found += some
    assert found[1:] == [item for (item,) in numbers]


async def test_an_item_that_kills_or_fails_its_worker_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch.workers, "ATTEMPTS", 1)
    batches = [["a", "die", "b"], ["c", f"die once:{tmp_path / 'died'}"], ["d", "fail"], ["e"]]
    found = await results(pool_of(TWO), batches, in_order=True)
    # Those that waited behind the killing item are also tried alone, and succeed.
    assert sorted(found) == sorted([
        *("a", "b", "c", "d", "e", f"die once:{tmp_path / 'died'}"),
        "die: its worker died in every attempt; Ray's logs say more",
        "fail: its worker failed: ValueError: no good",
    ])  # fmt: skip


async def test_a_worker_without_room_blocks_nothing() -> None:
    """Two thirds of this Ray's cores leave room for one such worker only."""
    cores = ray.cluster_resources()["CPU"]  # type: ignore[no-untyped-call]
    plan = PoolPlan(actors=2, num_cpus=int(cores * 200 / 3) / 100, num_gpus=0.0)
    batches = [[str(number)] for number in range(9)]
    assert await results(pool_of(plan), batches, in_order=True) == [item for (item,) in batches]


async def test_workers_that_cannot_start_end_the_run() -> None:
    with pytest.raises(WorkersError, match=r"The workers cannot run: .*no CUDA here"):
        await results(pool_of(TWO, HopelessEcho), [["a"]], in_order=False)


async def test_workers_give_way_as_far_as_replicas_do() -> None:
    expected = max(10, os.getpriority(os.PRIO_PROCESS, 0))
    results = [done async for done in pool_of(TWO, Niceness).results(each([["a"]]), in_order=True)]
    assert results == [(["a"], [str(expected)])]


async def test_nothing_to_do_needs_no_worker() -> None:
    assert await results(pool_of(TWO.for_items(0)), [], in_order=True) == []


def test_an_error_of_ray_becomes_a_sentence() -> None:
    with (
        pytest.raises(WorkersError, match=r"Ray was stopped or failed: It is gone\. What is done is kept"),
        ray_session("auto"),
    ):
        raise RayError("A traceback\nIt is gone.")


async def test_workers_log_as_their_job_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOB_CONFIG, submitted("job-7"))
    log = tmp_path / "log"
    one = PoolPlan(actors=1, num_cpus=0.0, num_gpus=0.0)
    await results(pool_of(one), [[f"log:{log}"]], in_order=True)
    line = json.loads(log.read_text())
    assert (line["message"], line["level"], line["job_id"]) == ("here", "WARNING", "job-7")
