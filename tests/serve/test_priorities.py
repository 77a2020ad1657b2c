"""The API and the database go before what computes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from ops.stack.home import StackHome
from ops.stack.processes import members
from tests.support.service import Service

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(sys.platform != "linux", reason="reads the priorities of threads from /proc"),
]


def nicenesses(process: psutil.Process) -> set[int]:
    """Of all threads."""
    return {
        os.getpriority(os.PRIO_PROCESS, int(thread.name))
        for thread in Path(f"/proc/{process.pid}/task").iterdir()
    }


def test_what_computes_gives_way_to_what_answers(service: Service) -> None:
    here = os.getpriority(os.PRIO_PROCESS, 0)
    found: dict[str, set[int]] = {}
    for process in members(StackHome(service.home).stack_id):
        line = " ".join(process.cmdline())
        for name in ("API", "Detector", "Embedder", "Analyzer", "Matcher", "decoder_main"):
            if f"ServeReplica:semblance:{name}" in line or f"deployments.faces.{name}" in line:
                found.setdefault(name, set()).update(nicenesses(process))
    computing = found.pop("decoder_main")
    assert found.pop("API") == {here}
    assert computing == {max(10, here)}
    assert len(found) == 4
    assert all(max(10, here) in each for each in found.values())
