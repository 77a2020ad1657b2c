"""The faults that take longest to heal, on a real stack under load. `make chaos` runs all kinds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.chaos.__main__ import INVARIANTS
from benchmarks.chaos.events import SLOWEST
from benchmarks.chaos.load import BUSY, OK, REFUSED

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


def test_everything_heals_by_itself_and_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--events", "slowest", "--json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    # Every requested fault is injected, and each hits something.
    assert [outcome["event"] for outcome in result["outcomes"]] == list(SLOWEST), done.stderr
    assert all(outcome["healed"] is not None for outcome in result["outcomes"]), done.stderr
    # All that clients may see, also between the faults.
    assert set(result["seen"]) <= {OK, BUSY, REFUSED}, done.stderr
    assert [outcome["faults"] for outcome in result["outcomes"]] == [[]] * len(SLOWEST), done.stderr
    assert set(result["broken"]) > set(INVARIANTS), done.stderr
    assert not any(result["broken"].values()), done.stderr
    assert result["accepted"] > 0
    # The benchmark reports how fast it heals.
    assert done.returncode == (0 if result["holds"] else 1), done.stderr
