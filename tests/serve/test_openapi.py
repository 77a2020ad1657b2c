"""What the OpenAPI document promises is what the running service does."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.service import Service

pytestmark = pytest.mark.ray

START_RAY_JOB = "start_ray_job"

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

AT_ONCE = ("examples,fuzzing", "coverage")
"""Phases for two processes of Schemathesis, each of which mostly waits for the service."""

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


@pytest.mark.timeout(600)
def test_schemathesis_finds_no_server_error_and_no_undocumented_answer(
    service: Service, tmp_path: Path
) -> None:
    email = "schemathesis@fuzz.edu"
    token = service.run("token", "create", "--email", email).strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(f"{service.status['url']}/api/auth/me", headers=headers).status_code == 200
    # An admin may call every operation.
    service.run("admins", "add", email)
    settings = f"{service.status['url']}/api/admin/settings"
    before = httpx.get(settings, headers=headers).json()
    config = tmp_path / "schemathesis.toml"
    config.write_text(
        f"""
        [auth.openapi.ApiKey]
        bearer = "{service.status["api_key"]}"
        [auth.openapi.User]
        bearer = "{token}"
        [auth.openapi.Cron]
        bearer = "{(service.home / "keys" / "cron_secret").read_text()}"
        """
    )
    command = [SCHEMATHESIS, "--config-file", config, "run", f"{service.status['url']}/openapi.json"]
    options = {
        "--checks": ",".join(CHECKS),
        "--seed": "1",
        "--max-examples": "3",
        # Its threads would parse Python at the same time, which CPython 3.11 does not always survive: "AST
        # constructor recursion depth mismatch", python/cpython#106905.
        "--workers": "1",
        # It would end the session of all later requests, which would then test nothing.
        "--exclude-path": "/api/auth/logout",
        # Each answer would be a process; `test_ray_jobs` starts some.
        "--exclude-operation-id": START_RAY_JOB,
        "--generation-database": "none",
    }

    def run(phases: str) -> subprocess.CompletedProcess[str]:
        chosen = options | {"--phases": phases}
        return subprocess.run(
            [*map(str, command), "--no-color", *(word for option in chosen.items() for word in option)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=580,
        )

    with ThreadPoolExecutor(len(AT_ONCE)) as threads:
        runs = list(threads.map(run, AT_ONCE))
    # Other tests use the same service, whose settings it may have changed.
    kept = {name: value for name, value in before.items() if not name.startswith("updated_")}
    assert httpx.patch(settings, headers=headers, json=kept).status_code == 200
    resumed = httpx.post(f"{service.status['url']}/api/admin/jobs/resume", headers=headers)
    assert resumed.status_code == 204
    for done in runs:
        assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
