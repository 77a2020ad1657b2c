"""Ray and Serve as parts of the stack: their checks and their restarts, on servers of the test."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from ops.stack import ray_head, serve_deploy
from ops.stack.postgres import ForeignPostgres
from ops.stack.serve_deploy import ServeApp, ServeClient
from semblance.errors import ConfigurationError, DatabaseError
from tests.support.http_server import QuietHandler, serving
from tests.support.waiting import PATIENCE_S


@pytest.mark.parametrize(("status", "serves"), [(b"\x08\x01", True), (b"\x08\x02", False), (b"", False)])
def test_the_health_of_a_grpc_server_is_checked(status: bytes, serves: bool) -> None:
    class Health(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC has no types
        def service(self, details: Any) -> Any:
            assert details.method == "/grpc.health.v1.Health/Check"
            return grpc.unary_unary_rpc_method_handler(lambda *_: status)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Health()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert ray_head._is_serving(port) is serves
    finally:
        server.stop(None)


def test_a_server_that_accepts_connections_but_is_silent_is_not_serving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with a stopped process, whose connections the kernel still accepts."""
    monkeypatch.setattr(ray_head, "_ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not ray_head._is_serving(port)
    assert not ray_head._is_serving(port)


class Cluster:
    """A dashboard and an API with answers set by the test."""

    url: str

    def __init__(self) -> None:
        self.applications: dict[str, Any] = {"semblance": {"status": "RUNNING", "deployments": {}}}
        self.answers = True
        self.lives = True
        self.deployed: list[Any] = []
        cluster = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                if self.path == "/health":
                    self.reply(200 if cluster.lives else 503, b"{}")
                else:
                    body = json.dumps({"applications": cluster.applications}).encode()
                    self.reply(200 if cluster.answers else 503, body)

            def do_PUT(self) -> None:
                length = int(self.headers["Content-Length"])
                cluster.deployed.append(json.loads(self.rfile.read(length)))
                cluster.applications = {"semblance": {"status": "RUNNING", "deployments": {}}}
                cluster.answers = cluster.lives = True
                self.reply(200, b"{}")

        self.handler = Handler


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    # What is broken stays so until it is deployed again.
    for name in ("_PATIENCE_SECONDS", "_HEALING_SECONDS"):
        monkeypatch.setattr(serve_deploy, name, 0.2)
    cluster = Cluster()
    with serving(cluster.handler) as cluster.url:
        yield cluster


@pytest.fixture
def controller() -> Iterator[psutil.Process]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield psutil.Process(process.pid)
        process.kill()


@pytest.fixture
def app(cluster: Cluster, controller: psutil.Process) -> Iterator[ServeApp]:
    client = ServeClient(cluster.url, cluster.url, "token")
    yield ServeApp(client, {"any": "config"}, lambda: None, lambda: controller, lambda _: None)
    client.close()


def test_a_running_application_that_answers_is_healthy(app: ServeApp) -> None:
    assert app.problem() is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answers": False}, "controller"),
        ({"applications": {}}, "Nothing is deployed"),
        ({"applications": {"semblance": {"status": "UNHEALTHY", "deployments": {}}}}, "UNHEALTHY"),
        ({"lives": False}, "API"),
    ],
)
def test_each_part_of_serve_is_checked(
    cluster: Cluster, app: ServeApp, change: dict[str, Any], problem: str
) -> None:
    vars(cluster).update(change)
    assert problem in str(app.problem())
    app.start()
    assert app.problem() is None


def test_serve_repairs_its_own_replicas(
    cluster: Cluster, app: ServeApp, controller: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_deploy, "_HEALING_SECONDS", PATIENCE_S)
    cluster.lives = False
    threading.Timer(0.3, lambda: setattr(cluster, "lives", True)).start()
    app.start()
    assert cluster.deployed == []
    assert controller.is_running()


def test_the_application_is_deployed_to_a_new_ray(
    cluster: Cluster, app: ServeApp, controller: psutil.Process
) -> None:
    cluster.applications = {}
    app.start()
    assert cluster.deployed == [{"any": "config"}]
    assert controller.is_running()


def test_a_controller_that_hangs_is_ended(
    cluster: Cluster, app: ServeApp, controller: psutil.Process
) -> None:
    cluster.answers = False
    app.start()
    assert controller.wait(PATIENCE_S) is not None
    assert len(cluster.deployed) == 1


def test_it_gives_up_waiting_when_ray_has_ended(cluster: Cluster, controller: psutil.Process) -> None:
    def check() -> None:
        raise ConfigurationError("Ray ended.")

    client = ServeClient(cluster.url, cluster.url, "token")
    cluster.lives = False
    with pytest.raises(ConfigurationError, match="Ray ended"):
        ServeApp(client, {}, check, lambda: controller, lambda _: None).start()
    client.close()


def test_a_foreign_server_is_watched_but_not_restarted(dsn: str, tmp_path: Path) -> None:
    assert ForeignPostgres(dsn).problem() is None
    gone = ForeignPostgres(f"postgresql://app:hunter2@/db?host={tmp_path}")
    assert "SEMBLANCE_DATABASE_URL cannot be reached" in str(gone.problem())
    assert "hunter2" not in str(gone.problem())
    with pytest.raises(DatabaseError, match="cannot be reached"):
        gone.start()
