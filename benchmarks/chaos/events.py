"""The faults: one process killed or stopped, or a resource taken away for a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from db.logins import owner_dsn
from ops.stack.embedded import EmbeddedPostgres
from ops.stack.home import StackHome
from ops.stack.processes import members
from ops.stack.state import read_state
from semblance.lock import ProcessLock

AWAY_S = 10.0
"""How long a resource is away."""


@dataclass(frozen=True, slots=True)
class Process:
    """One of the stack's processes. part: what stands in its command line."""

    part: str

    def find(self, home: StackHome) -> int | None:
        """Its pid; the lowest, where there are several."""
        pids = []
        for process in members(home.stack_id):
            with suppress(psutil.Error):
                if self.part in " ".join(process.cmdline()):
                    pids.append(process.pid)
        return min(pids, default=None)


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock of the stack."""

    lock: Callable[[StackHome], Path]

    def find(self, home: StackHome) -> int | None:
        return ProcessLock(self.lock(home)).holder()


class Postmaster:
    """The embedded PostgreSQL's main process."""

    def find(self, home: StackHome) -> int | None:
        try:
            return int((home.postgres / "data" / "postmaster.pid").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return None


class PostgresBackend:
    """A process of PostgreSQL that serves one connection."""

    def find(self, home: StackHome) -> int | None:
        postmaster = Postmaster().find(home)
        with suppress(psutil.Error):
            for process in psutil.Process(postmaster).children():
                if "[local]" in " ".join(process.cmdline()):
                    return process.pid
        return None


Target = Process | Holder | Postmaster | PostgresBackend

TARGETS: dict[str, Target] = {
    "postgres": Postmaster(),
    "backend": PostgresBackend(),
    "supervisor": Holder(lambda home: home.lock_file),
    "guardian": Holder(lambda home: home.guardian_lock_file),
    "standby": Process("ops.stack.guardian --standby"),
    "ray-start": Holder(lambda home: home.ray_lock_file),
    "gcs": Process("gcs_server"),
    "raylet": Process("raylet/raylet"),
    "dashboard": Process("dashboard/dashboard.py"),
    "dashboard-agent": Process("ray::DashboardAgent"),
    "runtime-env-agent": Process("ray::RuntimeEnvAgent"),
    "log-monitor": Process("log_monitor.py"),
    "autoscaler": Process("_private/monitor.py"),
    "controller": Process("ray::ServeController"),
    "proxy": Process("ray::ProxyActor"),
    "gateway": Process("haproxy"),
    "api": Process("ServeReplica:semblance:API"),
    "detector": Process("ServeReplica:semblance:Detector"),
    "embedder": Process("ServeReplica:semblance:Embedder"),
    "analyzer": Process("ServeReplica:semblance:Analyzer"),
    "matcher": Process("ServeReplica:semblance:Matcher"),
    "writer": Process("ServeReplica:semblance:Writer"),
}
"""What can be killed, and with `-stop` behind its name be stopped, so that it exists and does not answer."""


def _store_gone(home: StackHome) -> None:
    """As a disk that was unmounted: writing fails, and so does reading."""
    aside = home.objects.with_name("objects.aside")
    home.objects.rename(aside)
    home.objects.touch()
    try:
        time.sleep(AWAY_S)
    finally:
        home.objects.unlink()
        aside.rename(home.objects)


def _database_readonly(home: StackHome) -> None:
    """As a standby, or a disk that is full."""
    for value in ("on", "off"):
        with psycopg.connect(database(home), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")
        if value == "on":
            time.sleep(AWAY_S)


CONDITIONS: dict[str, Callable[[StackHome], None]] = {
    "store-gone": _store_gone,
    "database-readonly": _database_readonly,
}
"""What is away for AWAY_S, and comes back by itself."""

STOPPED = ("postgres", "gcs", "raylet", "dashboard", "dashboard-agent", "controller", "api", "supervisor")
"""What the whole matrix also stops."""

ALL = (*TARGETS, *(f"{name}-stop" for name in STOPPED), *CONDITIONS)

SLOWEST = ("dashboard-agent", "postgres", "supervisor", "controller-stop")
"""The kinds that take longest to heal, or that nothing but the supervisor heals."""


def known(name: str) -> bool:
    """Whether there is such an event."""
    return name in CONDITIONS or name.removesuffix("-stop") in TARGETS


def inflict(name: str, home: StackHome) -> Callable[[], bool] | None:
    """Let it happen; returns a question that is answered with whether what was hit is there again, or None
    where this stack has nothing of the kind at the moment."""
    if condition := CONDITIONS.get(name):
        condition(home)
        return lambda: True
    target = TARGETS[name.removesuffix("-stop")]
    pid = target.find(home)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGSTOP if name.endswith("-stop") else signal.SIGKILL)
    except ProcessLookupError:
        # It ended by itself, with what was killed before.
        return None
    return lambda: target.find(home) not in {pid, None}


def database(home: StackHome) -> str:
    """DSN of the stack's own database for its owner."""
    state = read_state(home)
    return owner_dsn(state.database_url) if state else EmbeddedPostgres(home.postgres).start()


def missing(names: Iterable[str], home: StackHome) -> list[str]:
    """Those for which there is nothing to hit."""
    return [
        name
        for name in names
        if name not in CONDITIONS and TARGETS[name.removesuffix("-stop")].find(home) is None
    ]
