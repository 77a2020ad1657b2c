"""The application under Ray's own command, beside the deployed one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service import Service

BIN = Path(sys.executable).parent


def in_shell(service: Service, command: str) -> None:
    """Run a command as in a shell that took `semblance env`; a failed test with its output otherwise."""
    clean = {name: value for name, value in service.environment.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        ["/bin/bash", "-c", f'PATH="{BIN}:$PATH" && eval "$(semblance env)" && {command}'],
        env=clean,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def prefix(service: Service) -> Iterator[str]:
    """Route prefix of a second application, started by `serve run`."""
    in_shell(service, "serve run --non-blocking --name second --route-prefix /second serve_app.app:build_app")
    yield "/second"
    in_shell(service, "python -c \"from ray import serve; serve.delete('second', _blocking=False)\"")


def test_serve_run_fits_beside_the_deployed_application(
    prefix: str, service: Service, http: httpx.Client
) -> None:
    assert http.get(f"{prefix}/health").json() == http.get("/health").json()
    assert http.get(f"{prefix}/ready").status_code == 200
