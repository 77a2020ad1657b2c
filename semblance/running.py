"""What a process finds out by itself: the stack that runs in a home, by `state.json` and its lock, and which
Ray job it is.

`ops.stack.state` writes the file; this reads as much of it as the packages below `ops` need.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from semblance.files import read_file
from semblance.lock import ProcessLock

STATE_FILE = "state.json"
LOCK_FILE = "lock"
"""In the home; the lock is held by the supervisor while its stack exists."""

_JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""By which Ray configures the command of a job (ray/dashboard/modules/job/job_supervisor.py)."""


def ray_submission_id() -> str | None:
    """The id under which this process was submitted to Ray, by any program; None if it was not."""
    try:
        submission_id = json.loads(os.environ[_JOB_CONFIG])["metadata"]["job_submission_id"]
    except (KeyError, TypeError, ValueError):
        return None
    return submission_id if isinstance(submission_id, str) else None


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
