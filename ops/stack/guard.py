"""The guardian as a part of a detached stack. It keeps the supervisor up, and the supervisor keeps it up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

import psutil

from ops.stack.home import StackHome
from ops.stack.processes import STACK_MARK
from semblance.errors import ConfigurationError
from semblance.lock import ProcessLock

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_POLL = 0.05


class GuardianPart:
    """A process of `ops.stack.guardian`."""

    name = "Guardian"

    def __init__(self, home: StackHome) -> None:
        self._home = home
        # Copied now, because starting PostgreSQL changes it for a moment.
        self._environment = os.environ | {"SEMBLANCE_HOME": str(home.root), STACK_MARK: home.stack_id}
        self._lock = ProcessLock(home.guardian_lock_file)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is not None:
            self._process.poll()
        with self._home.supervisor_log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "ops.stack.guardian"),
                    *(self._home.lock_file, self._home.guardian_lock_file, self._home.state_file),
                    *(sys.executable, "-P", "-m", "ops.stack.supervisor", "--take-over"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                env=self._environment,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._lock.is_held():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ConfigurationError(
                    f"The guardian of the supervisor did not start; see {self._home.supervisor_log}."
                )
            time.sleep(_POLL)

    def problem(self) -> str | None:
        if self._lock.is_held():
            return None
        return "Nothing would restart the supervisor if it died."

    def stop(self) -> None:
        with suppress(psutil.NoSuchProcess):
            if (holder := self._lock.holder()) is not None:
                guardian = psutil.Process(holder)
                guardian.kill()
                guardian.wait(_STOP_SECONDS)
        if self._process is not None:
            # It may not hold its lock yet.
            self._process.kill()
            self._process.wait()
            self._process = None
