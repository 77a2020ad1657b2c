"""Finds the stack that runs in a home, for processes that it did not start: `state.json` and its lock.

`ops.stack.state` writes the file; this reads as much of it as the packages below `ops` need.
"""

from __future__ import annotations

import json
from pathlib import Path

from semblance.files import read_file
from semblance.lock import ProcessLock

STATE_FILE = "state.json"
LOCK_FILE = "lock"
"""In the home; the lock is held by the supervisor while its stack exists."""

JOB_VARIABLE = "SEMBLANCE_RAY_JOB"
"""Tells a Ray job the id under which it was submitted."""


def running_database(home: Path) -> str | None:
    """The application's DSN for the database of the stack that runs in `home`, or None."""
    home = home.expanduser().resolve()
    try:
        state = json.loads(read_file(home / STATE_FILE))
    except (OSError, ValueError):
        return None
    if not isinstance(state, dict) or ProcessLock(home / LOCK_FILE).holder() != state.get("pid"):
        return None
    dsn = state.get("database_url")
    return dsn if isinstance(dsn, str) else None
