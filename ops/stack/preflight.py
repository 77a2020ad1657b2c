"""Checks before PostgreSQL and Ray start: whether a stack can run with its settings on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from ops.stack.home import StackHome
from ops.stack.ports import is_free
from ops.stack.ray_head import LOOPBACK
from ops.stack.state import read_state
from semblance.errors import SemblanceError
from semblance.findings import Check, Finding, require
from semblance.settings import Settings, old_names, variable
from serve_app.preflight import BEFORE_START, has_schema

_SOCKET_PATH_LIMIT = 107
"""Most bytes in the path of a Unix socket: `sun_path` without its final zero (unix(7))."""

_RAY_SOCKET_BELOW = 64
"""Bytes of `/session_<date>_<time>_<microseconds>_<pid>/sockets/plasma_store` with a pid of seven digits."""


def check_home(settings: Settings) -> Iterator[Finding]:
    """Whether the home can be written."""
    root = StackHome.of(settings).root
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        text = f"SEMBLANCE_HOME={root} cannot be used: {existing} is not writable"
        yield Finding("fail", "Home", text, "Set SEMBLANCE_HOME to a folder that you can write.")


def check_restored(settings: Settings) -> Iterator[Finding]:
    """Whether a restoration of this home is complete. A stack would make keys of its own, and the restoration
    would then replace the rows that it has stored."""
    home = StackHome.of(settings)
    if home.restoring_file.exists():
        text = f"the restoration of {home.root} is not complete"
        fix = "Run the same `semblance restore` again, or name an empty home in SEMBLANCE_HOME."
        yield Finding("fail", "Restoration", text, fix)


def check_ports(settings: Settings) -> Iterator[Finding]:
    """Whether the address is one of this machine, and the wanted ports are free or used by this stack."""
    if not is_free(settings.host, 0):
        text = f"SEMBLANCE_HOST={settings.host} is not an address of this machine"
        yield Finding("fail", "Ports", text, "Use 127.0.0.1 for this machine only, or 0.0.0.0 for all.")
        return
    if settings.port and settings.port == settings.dashboard_port:
        text = f"SEMBLANCE_PORT and SEMBLANCE_DASHBOARD_PORT are both {settings.port}"
        yield Finding("fail", "Ports", text, "Change one of them, or set it to 0 for any free port.")
    running = read_state(StackHome.of(settings)) is not None
    for name, host, port in (
        ("SEMBLANCE_PORT", settings.host, settings.port),
        ("SEMBLANCE_DASHBOARD_PORT", LOOPBACK, settings.dashboard_port),
    ):
        if port and not running and not is_free(host, port):
            fix = f"Stop the program that uses it (`ss -ltnp | grep {port}`), or set {name} to another or 0."
            yield Finding("fail", "Ports", f"{name}={port} is taken", fix)
        elif port:
            yield Finding("ok", "Ports", f"{name}={port} is {'in use by this stack' if running else 'free'}")
        else:
            yield Finding("ok", "Ports", f"{name} is any free one")


def check_socket_paths(settings: Settings) -> Iterator[Finding]:
    """Whether the paths of Ray's sockets are short enough, in a folder of this user."""
    link = StackHome.of(settings).short_ray
    length = len(os.fsencode(link)) + _RAY_SOCKET_BELOW
    if length > _SOCKET_PATH_LIMIT:
        fix = "Set TMPDIR to a shorter path, such as /tmp."
        yield Finding("fail", "Socket paths", f"{link} is {length - _SOCKET_PATH_LIMIT} bytes too long", fix)
    elif link.exists() and link.lstat().st_uid != os.getuid():
        yield Finding("fail", "Socket paths", f"{link} belongs to another user", "Have that user remove it.")
    else:
        yield Finding("ok", "Socket paths", f"{length} of {_SOCKET_PATH_LIMIT} bytes")


def check_old_names(settings: Settings) -> Iterator[Finding]:
    """Report settings read from variables of the old app. A database named only by DATABASE_URL may belong to
    another program, so it must already have Semblance's tables."""
    names = old_names()
    for field, name in names.items():
        yield Finding("ok", "Old names", f"{variable(field)} is read from {name}")
    name = names.get("database_url", "")
    if name and _is_foreign(settings):
        text = f"{name} names a database without Semblance's tables"
        fix = (
            "If it is the right one, `semblance migrate` creates them. Otherwise set SEMBLANCE_DATABASE_URL, "
            f"or unset {name} to use the embedded database."
        )
        yield Finding("fail", "Old names", text, fix)


def _is_foreign(settings: Settings) -> bool:
    try:
        return not has_schema(settings)
    except SemblanceError:
        # The check of the database reports it, with the reason.
        return False


CHECKS: Final[tuple[Check, ...]] = (
    check_home,
    check_restored,
    check_ports,
    check_socket_paths,
    check_old_names,
    *BEFORE_START,
)


def preflight(settings: Settings) -> None:
    """Raise ConfigurationError with everything that keeps a stack from starting, each with its setting and
    fix."""
    require(settings, CHECKS)
