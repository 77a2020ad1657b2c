"""What takes longest to heal, on a real stack under load. All kinds by hand: `make chaos`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


def test_what_dies_heals_by_itself_and_nothing_is_lost() -> None:
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
    assert all(outcome["healed"] is not None for outcome in result["outcomes"]), done.stderr
    assert result["broken"] == dict.fromkeys(result["broken"], 0), done.stderr
    assert result["accepted"] > 0
