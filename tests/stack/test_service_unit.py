"""The systemd unit: its content, and that systemd accepts it, if installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ANALYZE = shutil.which("systemd-analyze")
UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "semblance.service"


def directives() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_the_foreground_command_is_the_main_process_and_always_restarted() -> None:
    unit = directives()
    assert unit["ExecStart"] == ["/opt/semblance/.venv/bin/semblance up"]
    assert unit["Restart"] == ["always"]
    # SIGTERM reaches `semblance up` alone, which stops the rest in order.
    assert unit["KillMode"] == ["mixed"]
    assert unit["OOMPolicy"] == ["continue"]


@pytest.mark.skipif(ANALYZE is None, reason="there is no systemd here")
def test_systemd_accepts_it(tmp_path: Path) -> None:
    # The command that it names exists only after installation.
    local = tmp_path / UNIT.name
    local.write_text(UNIT.read_text().replace("/opt/semblance/.venv/bin/semblance", "/bin/sh"))
    assert ANALYZE is not None
    done = subprocess.run([ANALYZE, "verify", local], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
