"""A Prometheus for a test: the real server, with the project's rules."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from ops.stack.ports import free_ports
from tests.support.gateway import LOOPBACK
from tools import CHECKOUT

FOLDER = CHECKOUT / "deploy" / "monitoring"

PROMETHEUS, PROMTOOL = shutil.which("prometheus") or "", shutil.which("promtool") or ""

needs_prometheus = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL),
    reason="needs Prometheus (Debian: apt install prometheus)",
)


class Prometheus:
    """A running server."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The result of an expression now."""
        answer = self._client.get("/api/v1/query", params={"query": expression})
        assert answer.is_success, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def get(self, path: str) -> dict[str, Any]:
        answer = self._client.get(f"/api/v1/{path}")
        assert answer.is_success, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    @property
    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").is_success
        except httpx.TransportError:
            return False


@contextmanager
def prometheus(folder: Path, target: str, key: str) -> Iterator[Prometheus]:
    """Prometheus with the configuration of `deploy/monitoring`, asking another target every two seconds."""
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    # It waits for an answer no longer than that, which a busy machine may need.
    config["global"] = {"scrape_interval": "2s", "evaluation_interval": "1s"}
    [job] = config["scrape_configs"]
    job["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    (folder / "metrics.key").write_text(key)
    shutil.copy(FOLDER / "rules.yaml", folder)
    port = free_ports({"Prometheus": (LOOPBACK, 0)})["Prometheus"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=10) as client:
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait()
