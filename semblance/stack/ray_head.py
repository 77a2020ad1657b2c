"""Ray's head node as a child process: its ports, its environment, its health."""

from __future__ import annotations

import ctypes
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from semblance.errors import ConfigurationError
from semblance.stack.home import StackHome
from semblance.stack.ports import free_ports
from semblance.stack.processes import STACK_MARK

LOOPBACK = "127.0.0.1"

SERVE_FLAGS = {
    # Replicas of the API have an HTTP port each, which the gateway asks without a proxy between.
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
    # Ray's own HAProxy would show its statistics to everybody, and need the same ports in every stack.
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    # The gateway sees within three seconds that a replica is about to leave.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    # gRPC between replicas and fewer threads: about 1.5 times the requests per second.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # The controller looks at its replicas twice a second, not ten times: it costs 5 % of a core otherwise.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
}
"""Switches of Ray Serve; they must be the same in every process of the cluster."""

FREE_PORTS = (
    "--dashboard-agent-listen-port=0",
    "--dashboard-agent-grpc-port=0",
    "--runtime-env-agent-port=0",
    "--metrics-export-port=0",
    "--node-manager-port=0",
    "--object-manager-port=0",
    "--min-worker-port=0",
    "--max-worker-port=0",
)
"""Options of `ray start` by which the kernel picks a node's ports, so that nodes run side by side."""

OBJECT_STORE_BYTES = 512 * 1024 * 1024
_START_SECONDS = 120.0
_POLL = 0.1
_KEPT_SESSIONS = 3
_PR_SET_PDEATHSIG = 1

# What would lead this stack's processes to another cluster, or hand them its token.
_FOREIGN = (
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
    "RAY_AUTH_TOKEN",
    "RAY_DASHBOARD_ADDRESS",
    "RAY_TMPDIR",
)


_OWNERS = "SEMBLANCE_OWNER_DATABASE_URL"
"""What only the supervisor needs, to migrate."""


@dataclass(frozen=True, slots=True)
class RayPorts:
    gcs: int
    dashboard: int
    http: int
    serve: int
    """Of Serve's own proxy, behind the gateway."""

    @classmethod
    def choose(cls, host: str, http: int, dashboard: int) -> RayPorts:
        """The ports others must know; Ray lets the kernel pick the rest. 0 asks for any free one."""
        ports = free_ports(
            {
                "HTTP API": (host, http),
                "Ray dashboard": (LOOPBACK, dashboard),
                "Ray head": (LOOPBACK, 0),
                "Ray Serve": (LOOPBACK, 0),
            }
        )
        return cls(
            gcs=ports["Ray head"],
            dashboard=ports["Ray dashboard"],
            http=ports["HTTP API"],
            serve=ports["Ray Serve"],
        )


def client_environment(base: Mapping[str, str], token_file: Path) -> dict[str, str]:
    """`base` with what a process needs to talk to a stack's Ray, and without what would mislead it.

    Ray asks for the stack's own token. Loopback alone would not do: each Serve replica opens a gRPC port
    on all interfaces that takes pickles, and every user of the machine reaches loopback.
    """
    environment = {name: value for name, value in base.items() if name not in _FOREIGN}
    local = f"{LOOPBACK},localhost"
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = f"{environment[name]},{local}" if environment.get(name) else local
    return environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        # Ray would otherwise start workers through `uv run` again, which hangs without a network.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's mode for a single machine: the node is 127.0.0.1, and its daemons listen there only.
        # Otherwise Ray replaces a loopback address by the machine's own.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def head_environment(
    base: Mapping[str, str], home: StackHome, settings_environment: Mapping[str, str]
) -> dict[str, str]:
    """The environment of `ray start`, which every daemon, replica, worker and job driver inherits.

    settings_environment: SEMBLANCE_* variables that hold for all of them.
    """
    # Settings are read whatever the case of their names.
    kept = {name: value for name, value in base.items() if name.upper() != _OWNERS}
    return {
        **client_environment(kept, home.ray_token_file),
        **SERVE_FLAGS,
        # One thread per process: replicas are the unit of parallelism, more threads only fight.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "RAY_START_HOOK": f"{__name__}.{prepare_head.__name__}",
        "PYTHONUNBUFFERED": "1",
        STACK_MARK: home.stack_id,
        **settings_environment,
    }


def prepare_head(parameters: Any, _head: bool) -> None:
    """Called inside `ray start`, before anything is started, for what its command line has no switch for.

    No Ray Client server: nothing here uses it, and it costs a second and 100 MB. And should the supervisor
    be killed, Linux ends the head with it.
    """
    parameters.ray_client_server_port = None
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class RayHead:
    """`ray start --head --block`, started at construction; it ends with its parent."""

    def __init__(self, home: StackHome, ports: RayPorts, environment: Mapping[str, str]) -> None:
        self._log = home.ray_log
        self._dashboard = f"http://{LOOPBACK}:{ports.dashboard}"
        self._token = home.ray_token()
        _remove_old_sessions(home.ray_sessions)
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--head",
            "--block",
            f"--node-ip-address={LOOPBACK}",
            f"--port={ports.gcs}",
            f"--dashboard-host={LOOPBACK}",
            f"--dashboard-port={ports.dashboard}",
            *FREE_PORTS,
            f"--temp-dir={home.link_ray()}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--include-dashboard=true",
            "--disable-usage-stats",
            "--log-color=false",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait_ready(self) -> None:
        """Return when the dashboard answers; raises ConfigurationError when Ray ends or stays silent."""
        deadline = time.monotonic() + _START_SECONDS
        with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {self._token}"}) as client:
            while time.monotonic() < deadline:
                self.check()
                try:
                    if client.get(f"{self._dashboard}/api/version").is_success:
                        return
                except httpx.TransportError:
                    pass
                time.sleep(_POLL)
        raise ConfigurationError(f"Ray did not answer within {_START_SECONDS:.0f} s; see {self._log}.")

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def check(self) -> None:
        """Raise ConfigurationError when Ray's head has ended."""
        if self.has_ended:
            raise ConfigurationError(
                f"Ray ended with exit status {self._process.returncode}; see {self._log}. "
                "`semblance doctor` checks what usually goes wrong."
            )


def _remove_old_sessions(folder: Path) -> None:
    """Keep the logs of the last few runs; each start adds a folder."""
    sessions = sorted(path for path in folder.glob("session_*") if path.is_dir() and not path.is_symlink())
    for session in sessions[:-_KEPT_SESSIONS]:
        shutil.rmtree(session, ignore_errors=True)
