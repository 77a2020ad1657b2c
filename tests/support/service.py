"""One running Semblance for all tests that go over HTTP, with a gallery ingested."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from ops.stack.ports import free_ports
from tests.support.asking import PersistentClient, asking
from tests.support.gallery import make_gallery
from tests.support.gateway import LOOPBACK
from tests.support.receivers import Receiver, receiver

SEMBLANCE = Path(sys.executable).with_name("semblance")
INGEST_ROOT = "/usr"
"""From here operators may ingest; it takes long to list."""


@dataclass(frozen=True, slots=True)
class Service:
    """A stack started by `semblance up --detach` in a separate home."""

    home: Path
    port: int
    status: dict[str, str] = field(default_factory=dict)
    asked: PersistentClient = field(default_factory=PersistentClient)
    """The answers to a client while it started."""
    collector: Receiver | None = None
    """Gets the traces of all requests and jobs."""

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        environment = {
            **os.environ,
            "SEMBLANCE_HOME": str(self.home),
            "SEMBLANCE_PORT": str(self.port),
            "SEMBLANCE_INGEST_ROOTS": INGEST_ROOT,
            # Serve replaces a proxy after three failed checks, which would take half a minute.
            "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
        }
        if self.collector is not None:
            environment |= {
                "SEMBLANCE_OTLP_ENDPOINT": self.collector.url,
                "SEMBLANCE_TRACE_SAMPLING": "1",
            }
        return environment

    def run(self, *arguments: str) -> str:
        """Run a `semblance` command against this stack; its output, or a failed test with it."""
        done = subprocess.run(
            [SEMBLANCE, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, f"semblance {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def shell(self, command: str, expect: int = 0) -> str:
        """Run a command in a shell that took `semblance env`; its output, or a failed test with it."""
        # A user's shell does not have the Ray variables of this process.
        clean = {name: value for name, value in self.environment.items() if not name.startswith("RAY_")}
        done = subprocess.run(
            ["/bin/bash", "-c", f'PATH="{SEMBLANCE.parent}:$PATH" && eval "$(semblance env)" && {command}'],
            env=clean,
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == expect, done.stdout
        return done.stdout

    def client(self) -> httpx.Client:
        """An HTTP client with the API key."""
        headers = {"Authorization": f"Bearer {self.status['api_key']}"}
        limits = httpx.Limits(max_connections=None)
        return httpx.Client(base_url=self.status["url"], headers=headers, timeout=60, limits=limits)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Two processes can run at once what starts a Ray, as it waits most of the time. Tests that share a
    service or a Ray run in one process, largest group first; each of the others in the next one that is
    free."""
    shared = [name for name in ("service", "ray_address") if name in _fixtures(item)]
    item.add_marker(pytest.mark.xdist_group([*shared, getattr(item, "originalname", item.name)][0]))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of the service last: it would take part of the machine from tests that start a Ray."""
    items.sort(key=lambda item: "service" in _fixtures(item))


def _fixtures(item: pytest.Item) -> set[str]:
    names = set(getattr(item, "fixturenames", ()))
    # A site of the console is of the service, which its fixture finds out too late.
    return names | {"service"} if "site" in names else names


@pytest.fixture(scope="session")
def service(alone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The running service, its gallery filled by the ingestion Ray job."""
    port = free_ports({"service": (LOOPBACK, 0)})["service"]
    with receiver() as collector:
        starting = Service(tmp_path_factory.mktemp("service"), port, collector=collector)
        try:
            with asking(starting.url) as asked:
                starting.run("up", "--detach")
            running = replace(starting, status=json.loads(starting.run("status", "--json")), asked=asked)
            running.run("ingest", str(make_gallery(tmp_path_factory.mktemp("gallery"))))
            yield running
        finally:
            starting.run("down")


@pytest.fixture
def http(service: Service) -> Iterator[httpx.Client]:
    """A client with the API key, on the running service."""
    with service.client() as client:
        yield client
