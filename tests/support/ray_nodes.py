"""A Ray cluster of several nodes on this machine, each of which can be lost, with Serve on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from deployments.replica_messages import message_environment
from ops.stack.gateway import Gateway, most_connections
from ops.stack.gateway_config import GatewayConfig
from ops.stack.gateway_targets import Serve
from ops.stack.home import StackHome
from ops.stack.processes import sweep
from ops.stack.ray_head import FREE_PORTS, LOOPBACK, RayPorts, client_environment, head_environment
from ops.stack.serve_deploy import SERVE_CONFIG, ServeClient, read_config
from semblance.settings import Settings

PATIENCE_S = 60.0
_STORE_BYTES = 100 * 1024 * 1024

_CLUSTER = {
    # Several nodes, where the stack has Ray's mode for a single machine.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    # A node that misses five of these is lost: after a few seconds instead of fifteen.
    "RAY_health_check_period_ms": "500",
    # Workers start on demand.
    "RAY_prestart_worker_first_driver": "0",
}


class Node:
    """`ray start --block` in a new session."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *(str(Path(sys.executable).with_name("ray")), "start", "--block"),
                    *arguments,
                    "--num-cpus=2",
                    f"--object-store-memory={_STORE_BYTES}",
                    *FREE_PORTS,
                    *("--disable-usage-stats", "--log-color=false", "--include-log-monitor=false"),
                ],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Return once it is part of the cluster."""
        deadline = time.monotonic() + PATIENCE_S
        while "Ray runtime started" not in (written := self._log.read_text()):
            assert self._process.poll() is None, written
            assert time.monotonic() < deadline, written
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """All its processes, parents before their children."""
        process = psutil.Process(self._process.pid)
        return [process, *process.children(recursive=True)]

    def runs(self, name: str) -> bool:
        """Whether a process of this name does, of a replica or an actor."""
        for process in self.processes():
            with suppress(psutil.Error):
                if name in "".join(process.cmdline()):
                    return True
        return False

    def lose(self) -> None:
        """As if the machine lost power."""
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
        self.wait_end()

    def wait_end(self) -> None:
        """Return once it no longer runs."""
        self._process.wait(PATIENCE_S)


class RayCluster:
    """A head, and the nodes added by `add_node`. `close` ends everything, even if `start` failed."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """settings: SEMBLANCE_* variables for everything that runs on it."""
        self._home = StackHome.of(Settings(home=folder))
        self._home.prepare()
        self._ports = RayPorts.choose(LOOPBACK, 0, 0)
        # The environment of the tests must not reach it: another database, another Ray.
        self._surroundings = {
            name: value for name, value in os.environ.items() if not name.startswith(("SEMBLANCE_", "RAY_"))
        }
        token = self._home.ray_token()
        self._environment = head_environment(
            self._surroundings,
            self._home,
            {"SEMBLANCE_HOME": str(folder), **message_environment(Settings()), **settings, **_CLUSTER},
        )
        self.url = f"http://{LOOPBACK}:{self._ports.http}"
        self._dashboard = f"http://{LOOPBACK}:{self._ports.dashboard}"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._serve = ServeClient(self._dashboard, self.url, token)
        self._address = f"{LOOPBACK}:{self._ports.gcs}"
        self._gateway = Gateway(
            GatewayConfig.of(
                Settings(), LOOPBACK, self._ports.http, (LOOPBACK, self._ports.serve), most_connections()
            ),
            self._home.gateway,
            self._home.gateway_log,
            Serve((LOOPBACK, self._ports.dashboard), token),
        )
        self._nodes: list[Node] = []

    def start(self) -> None:
        """Start the gateway and the head; returns when Serve can be deployed."""
        self._gateway.start()
        head = self._start(
            "--head",
            f"--port={self._ports.gcs}",
            f"--temp-dir={self._home.link_ray()}",
            *(f"--dashboard-host={LOOPBACK}", f"--dashboard-port={self._ports.dashboard}"),
            "--include-dashboard=true",
        )
        head.wait()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with suppress(httpx.TransportError):
                version = httpx.get(f"{self._dashboard}/api/version", headers=self._headers, trust_env=False)
                if version.is_success:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def add_node(self) -> Node:
        """Start one more node without waiting for it."""
        return self._start(f"--address={self._address}")

    def deploy(self, change: Mapping[str, Mapping[str, Any]]) -> None:
        """Deploy the application with other options for its deployments, by their names, and wait until it
        answers."""
        config = read_config(SERVE_CONFIG, LOOPBACK, self._ports.serve)
        for deployment in config["applications"][0]["deployments"]:
            deployment.pop("autoscaling_config", None)
            deployment.update(change[deployment["name"]])
        self._serve.deploy(config)
        self._serve.wait_healthy(lambda: None, lambda _: None)
        self._serve.wait_ready(lambda: None)

    def run(self, log: Path, *command: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a job's driver: `python -m` and these arguments."""
        environment = client_environment(self._surroundings, self._home.ray_token_file)
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**environment, **_CLUSTER, "RAY_ADDRESS": self._address, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def close(self) -> None:
        """End all remaining processes."""
        self._serve.close()
        self._gateway.stop()
        sweep(self._home.stack_id, grace=0.0)
        for node in self._nodes:
            node.wait_end()
        self._home.unlink_ray()

    def _start(self, *arguments: str) -> Node:
        log = self._home.logs / f"node-{len(self._nodes)}.log"
        self._nodes.append(Node(list(arguments), self._environment, log))
        return self._nodes[-1]
