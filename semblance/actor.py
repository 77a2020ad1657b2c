"""Who is changing something, for the audit log: set where a request or a command begins."""

from __future__ import annotations

import getpass
import os
from contextvars import ContextVar

actor_var: ContextVar[str] = ContextVar("actor", default="service")
"""`admin:<profile id>`, `console:<session id>`, `command:<user of the machine>`, or `service` for what the
service does by itself."""


def command_actor() -> str:
    """The actor of a command: the user of the machine who runs it, by number if the machine knows no name."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"command:{os.getuid()}"
