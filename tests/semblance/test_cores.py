"""The cores of a container with a limit, and who goes first."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from semblance.cores import give_way, usable_cores

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, ALL),
        ({"cpu.max": "max 100000\n"}, ALL),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, min(64, ALL)),
        ({"cpu.max": "damaged\n"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, ALL),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_a_limit_of_the_container_counts(files: dict[str, str], cores: int, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert usable_cores(tmp_path) == cores


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it holds for the process")
def test_what_computes_gives_way_with_its_threads_and_nothing_else_does() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, 0)

    def compute() -> tuple[int, int]:
        give_way()
        give_way()
        with ThreadPoolExecutor(1) as child:
            return niceness(), child.submit(niceness).result()

    before = niceness()
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(compute).result() == (max(10, before),) * 2
    assert niceness() == before
