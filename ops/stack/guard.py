"""The guardian and its standby as a part of a detached stack. It keeps the supervisor up, and the supervisor
keeps it up."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

import psutil

from ops.stack.home import StackHome
from ops.stack.processes import STACK_MARK, members
from semblance.errors import ConfigurationError
from semblance.lock import ProcessLock

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_POLL = 0.05
_MODULE = ["-P", "-m", "ops.stack.guardian"]


class GuardianPart:
    """Processes of `ops.stack.guardian`."""

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
                    *(sys.executable, *_MODULE),
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
        deadline = time.monotonic() + _STOP_SECONDS
        # A standby that takes over starts one more, so they are looked up until none is left.
        while (guardians := self._guardians()) and time.monotonic() < deadline:
            for guardian in guardians:
                with suppress(psutil.NoSuchProcess):
                    guardian.kill()
            psutil.wait_procs(guardians, timeout=_POLL)
        if self._process is not None:
            # If it could not be looked up, the wait would have no end.
            self._process.kill()
            self._process.wait()
            self._process = None

    def _guardians(self) -> list[psutil.Process]:
        """The guardian, its standby, and one that does not hold its lock yet."""
        found = []
        for process in members(self._home.stack_id):
            with suppress(psutil.Error):
                if process.cmdline()[1:4] == _MODULE:
                    found.append(process)
        return found
