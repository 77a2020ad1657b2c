"""Ray's head node as a child process: its ports, its environment, its health."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx

from ops.stack.gateway_config import SLOTS
from ops.stack.home import StackHome
from ops.stack.ports import free_block, free_ports
from ops.stack.processes import STACK_MARK, sweep
from semblance.errors import ConfigurationError
from semblance.lock import ProcessLock

LOOPBACK = "127.0.0.1"

SERVE_FLAGS = {
    # Each replica of the API has an HTTP port, which the gateway uses without a proxy in between.
    "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
    # Ray's own HAProxy would show its statistics to all users, and need the same ports in every stack.
    "RAY_SERVE_ENABLE_HA_PROXY": "0",
    # The gateway sees within three seconds that a replica is about to leave.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    # gRPC between replicas and fewer threads: about 1.5 times the requests per second.
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    # The controller checks its replicas once a second, not ten times, which would cost 5 % of a core.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "1",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "1000",
    # With RAY_SERVE_THROUGHPUT_OPTIMIZED a replica would buffer 1,000 log records, errors included.
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
    # Reads go past what Serve does for each request.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.direct_reads.middlewares",
}
"""Switches of Ray Serve, which must be the same in every process of the cluster. `ray_cluster.yaml` has the
same, and `semblance env` prints them."""

COMPUTING = {
    # One thread per process: replicas are the unit of parallelism, and more threads only compete.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VIPS_CONCURRENCY"), "1"),
    # Pages of 2 MB, not 4 kB, for what malloc gives out: the nets go through more memory than a processor can
    # look up pages for, which took 4 to 7 % of a photo's time. Where the system offers none, nothing changes.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Ray would have PostgreSQL and the gateway go before every worker, the API's replicas included. What
    # computes for long gives way by itself (`semblance.cores.give_way`).
    "RAY_worker_niceness": "0",
}
"""How processes use cores and memory."""

QUIETER = {
    # Statistics of Ray's event loops, which only its debug files show. Every worker has a timer of 10 ms, and
    # each of its runs would be noted.
    "RAY_event_stats": "0",
    # The dashboard's agent asks the system about every process. Ray's own metrics are as old as that, too.
    "REPORTER_UPDATE_INTERVAL_MS": "10000",
    # The dashboard asks the system about itself and its modules, for Ray's own metrics of them.
    "METRICS_RECORD_INTERVAL_S": "60",
    # The agent looks for files of events, which only Ray's dashboard shows.
    "SCAN_EVENT_DIR_INTERVAL_SECONDS": "30",
    # The log monitor lists the folder of logs once a second, not ten times: that is a limit which Ray has for
    # folders of many files.
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "1",
    # Every process looks whether it has to tell the GCS server of tasks, which the dashboard shows.
    "RAY_task_events_report_interval_ms": "5000",
}
"""Switches of Ray that lower what its processes take of a core while there is nothing to do."""

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
"""Options of `ray start` that let the kernel choose the ports of a node, so that nodes run side by side."""

OBJECT_STORE_BYTES = 512 * 1024 * 1024
_START_SECONDS = 120.0
_POLL = 0.2
_PATIENCE_SECONDS = 8.0
"""How long Ray may be silent on a busy machine before it is restarted."""
_ANSWER_SECONDS = 3.0
_KEPT_SESSIONS = 3
_SERVING = b"\x08\x01"
"""`status: SERVING` in gRPC's health checking protocol, grpc.health.v1.HealthCheckResponse."""

# Variables that would lead this stack's processes to another cluster, or give them its token.
_FOREIGN = (
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
    "RAY_AUTH_TOKEN",
    "RAY_DASHBOARD_ADDRESS",
    "RAY_TMPDIR",
)


_OWNERS = "SEMBLANCE_OWNER_DATABASE_URL"
"""Only the supervisor needs this one, to migrate."""


@dataclass(frozen=True, slots=True)
class RayPorts:
    gcs: int
    raylet: int
    dashboard: int
    http: int
    serve: int
    """Port of Serve's own proxy, behind the gateway."""
    replicas: int
    """The first of SLOTS consecutive ports for replicas of the API."""

    @classmethod
    def choose(cls, host: str, http: int, dashboard: int) -> RayPorts:
        """Choose the ports that others must know; the kernel chooses the rest. 0 asks for any free one.

        Raises ConfigurationError if a wanted port is taken.
        """
        ports = free_ports(
            {
                "HTTP API": (host, http),
                "Ray dashboard": (LOOPBACK, dashboard),
                "Ray head": (LOOPBACK, 0),
                "raylet": (LOOPBACK, 0),
                "Ray Serve": (LOOPBACK, 0),
            }
        )
        return cls(
            gcs=ports["Ray head"],
            raylet=ports["raylet"],
            dashboard=ports["Ray dashboard"],
            http=ports["HTTP API"],
            serve=ports["Ray Serve"],
            replicas=free_block(LOOPBACK, SLOTS).start,
        )

    def by_name(self) -> dict[str, int]:
        """The ports in the form in which the state keeps them."""
        return asdict(self)


def client_environment(base: Mapping[str, str], token_file: Path) -> dict[str, str]:
    """`base` plus what a process needs to talk to a stack's Ray, minus variables that would mislead it.

    Ray asks for the stack's own token. Listening on loopback only would not be enough: each Serve replica
    opens a gRPC port on all interfaces that accepts pickles, and every user of the machine reaches loopback.
    """
    environment = {name: value for name, value in base.items() if name not in _FOREIGN}
    local = f"{LOOPBACK},localhost"
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = f"{environment[name]},{local}" if environment.get(name) else local
    return environment | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        # Otherwise Ray would start workers through `uv run` as well, which hangs without a network.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's mode for a single machine: the node is 127.0.0.1, and its daemons listen only there.
        # Otherwise Ray replaces a loopback address by the machine's own.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def head_environment(
    base: Mapping[str, str], home: StackHome, settings_environment: Mapping[str, str]
) -> dict[str, str]:
    """The environment of `ray start`, which every daemon, replica, worker and job driver inherits.

    `settings_environment` are the SEMBLANCE_… variables that apply to all of them.
    """
    # The names of settings are not case-sensitive.
    kept = {name: value for name, value in base.items() if name.upper() != _OWNERS}
    return {
        **client_environment(kept, home.ray_token_file),
        **SERVE_FLAGS,
        **COMPUTING,
        **QUIETER,
        "RAY_START_HOOK": f"{__name__}.{prepare_head.__name__}",
        "PYTHONUNBUFFERED": "1",
        STACK_MARK: ray_mark(home),
        **settings_environment,
    }


def ray_mark(home: StackHome) -> str:
    """The mark of Ray's processes among those of the stack."""
    return f"{home.stack_id}/ray"


def prepare_head(parameters: Any, head: bool) -> None:
    """Called inside `ray start` before anything is started, for what its command line has no option for.

    It disables the Ray Client server, which nothing here uses and which costs a second and 100 MB. And it
    makes the head hold a lock, so that every supervisor can tell whether it runs, not only the one that
    started it.
    """
    parameters.ray_client_server_port = None
    if head:
        _held_locks.append(lock := ProcessLock(StackHome(Path(os.environ["SEMBLANCE_HOME"])).ray_lock_file))
        lock.acquire()


_held_locks: list[ProcessLock] = []


class RayHead:
    """`ray start --head --block` as a part of the stack. It outlives a supervisor that dies, so that the next
    one takes it over."""

    name = "Ray"

    def __init__(self, home: StackHome, ports: RayPorts, environment: Mapping[str, str]) -> None:
        self._home = home
        self._ports = ports
        self._environment = dict(environment)
        self._log = home.ray_log
        self._dashboard = f"http://{LOOPBACK}:{ports.dashboard}"
        # Kept, since a new client reads the system's certificates, which takes 20 ms of CPU. Its connections
        # are not: each check must reach a process that listens.
        self._client = httpx.Client(
            trust_env=False,
            headers={"Authorization": f"Bearer {home.ray_token()}"},
            timeout=_ANSWER_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._lock = ProcessLock(home.ray_lock_file)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_starting = False

    def launch(self) -> None:
        """Begin starting Ray; `start` waits for it."""
        # The remains of a head that died need no time to end in order.
        self._end(grace=0.0)
        _remove_old_sessions(self._home.ray_sessions)
        programs = self._home.link_environment()
        command = [
            str(programs / Path(sys.executable).name),
            str(programs / "ray"),
            "start",
            "--head",
            "--block",
            f"--node-ip-address={LOOPBACK}",
            f"--port={self._ports.gcs}",
            f"--dashboard-host={LOOPBACK}",
            f"--dashboard-port={self._ports.dashboard}",
            *FREE_PORTS,
            f"--node-manager-port={self._ports.raylet}",
            f"--temp-dir={self._home.link_ray()}",
            f"--object-store-memory={OBJECT_STORE_BYTES}",
            "--include-dashboard=true",
            "--disable-usage-stats",
            "--log-color=false",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its session distinguishes its processes from those of the other parts.
                start_new_session=True,
            )
        self._is_starting = True

    def start(self) -> None:
        """Return when Ray answers: the running one, if it answers in time, else a new one.

        Raises ConfigurationError if a new one ends or stays silent.
        """
        if not self._is_starting:
            if self._answers_within(_PATIENCE_SECONDS):
                return
            self.launch()
        self._is_starting = False
        if not self._answers_within(_START_SECONDS):
            self.check()
            raise ConfigurationError(f"Ray did not answer within {_START_SECONDS:.0f} s; see {self._log}.")

    def problem(self) -> str | None:
        """Check the GCS server, the raylet, the dashboard and the agents of the node."""
        if not self._exists():
            return "Its head has ended."
        for name, port in (("GCS server", self._ports.gcs), ("raylet", self._ports.raylet)):
            if not _is_serving(port):
                return f"Its {name} does not answer."
        for name, url in {"dashboard": f"{self._dashboard}/api/version", **self._agents()}.items():
            try:
                # Any answer is enough: agents answer 404.
                self._client.get(url)
            except httpx.TransportError:
                return f"Its {name} does not answer."
        return None

    def stop(self) -> None:
        """End all processes of Ray, including those that an earlier supervisor started."""
        self._end(grace=2.0)

    def _end(self, grace: float) -> None:
        sweep(ray_mark(self._home), grace)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def _exists(self) -> bool:
        # A head that this process just started does not hold the lock yet.
        return self._process.poll() is None if self._process else self._lock.is_held()

    def _answers_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._exists():
            if self.problem() is None:
                return True
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL)
        return False

    def _agents(self) -> dict[str, str]:
        """Addresses of the node's agents by name. Ray writes their ports into the folder of its session."""
        session = self._home.ray_sessions / "session_latest"
        found = {}
        for name, prefix in (
            ("dashboard agent", "dashboard_agent_listen_port_"),
            ("runtime environment agent", "runtime_env_agent_port_"),
        ):
            for file in session.glob(f"{prefix}*"):
                found[name] = f"http://{LOOPBACK}:{file.read_text().strip()}/"
        return found

    @property
    def has_ended(self) -> bool:
        return not self._exists()

    def check(self) -> None:
        """Raise ConfigurationError if the head of Ray has ended."""
        if self.has_ended:
            how = f" with exit status {self._process.returncode}" if self._process else ""
            raise ConfigurationError(
                f"Ray ended{how}; see {self._log}. `semblance doctor` checks what usually goes wrong."
            )


def _is_serving(port: int) -> bool:
    """Whether a gRPC server on this port reports that it serves."""
    with grpc.insecure_channel(f"{LOOPBACK}:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        try:
            answer: bytes = channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=_ANSWER_SECONDS)
        except grpc.RpcError:
            return False
    return answer == _SERVING


def _remove_old_sessions(folder: Path) -> None:
    """Keep only the logs of the last few runs; each start adds a folder."""
    sessions = sorted(path for path in folder.glob("session_*") if path.is_dir() and not path.is_symlink())
    for session in sessions[:-_KEPT_SESSIONS]:
        shutil.rmtree(session, ignore_errors=True)
