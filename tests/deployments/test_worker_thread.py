"""The thread on which a replica computes."""

from __future__ import annotations

import os
import sys

import pytest

from deployments.worker_thread import WorkerThread


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it holds for the process")
async def test_it_gives_way_to_the_event_loop() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert await WorkerThread("test").run(os.getpriority, os.PRIO_PROCESS, 0) == max(10, before)
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
