"""A stack seen from outside: start its supervisor, follow what it reports, and stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import psutil

from ops.stack.embedded import EmbeddedPostgres
from ops.stack.events import DETACH, StackEvent
from ops.stack.guard import GuardianPart
from ops.stack.home import StackHome, StackLock
from ops.stack.processes import STACK_MARK, SUPERVISOR_PART, sweep
from ops.stack.serve_deploy import ServiceChecks
from ops.stack.state import Problem, StackState, read_state, remove_state, what_is_wrong
from semblance.errors import ConfigurationError, StackFailedError
from semblance.lock import ProcessLock
from semblance.settings import Settings

_STOP_SECONDS = 40.0
_KILL_SECONDS = 10.0
_BUSY_SECONDS = 300.0
_POLL = 0.1
_LONGEST_PAUSE = 30.0
_WELL_SECONDS = 60.0
_LOG_LINES = 15


class Launch:
    """A supervisor that this process started.

    While the lease is open, the stack lives as long as this process: the kernel closes the lease however the
    process ends.
    """

    def __init__(self, home: StackHome) -> None:
        self.home = home
        self._detached = False
        self._lease: int | None
        self._process, self._lease = _spawn(home)
        self._lock = ProcessLock(home.command_lock_file)

    def follow(self, on_event: Callable[[StackEvent], None]) -> StackState | None:
        """Pass on what the supervisor reports until the stack is ready, and return its state. None if another
        supervisor holds this home. Raises StackFailedError."""
        for event in self._events():
            match event.kind:
                case "ready":
                    state = read_state(self.home)
                    if state is None:
                        break
                    return state
                case "busy":
                    return None
                case "failed":
                    self.stop()
                    raise StackFailedError(_with_log(event))
                case _:
                    on_event(event)
        self.stop()
        if StackLock(self.home).is_held():
            # One that was a moment faster has ended this one with what it found of an earlier run.
            return None
        # A `semblance down` that has not ended yet terminates a supervisor that is too young to say so.
        if self._process.returncode in {0, -signal.SIGTERM}:
            raise StackFailedError(
                "The stack was stopped from outside while it was starting. `semblance up` starts it again."
            )
        raise StackFailedError(
            f"The supervisor ended unexpectedly with status {self._process.returncode}; "
            f"see {self.home.supervisor_log}."
        )

    @property
    def is_detached(self) -> bool:
        return self._detached

    def hold(self, on_event: Callable[[StackEvent], None]) -> NoReturn:
        """Pass on what happens to a stack that was ready, as long as it lives.

        A supervisor that dies is replaced, and the new one takes over what runs. Raises StackFailedError if
        the stack is stopped from outside.
        """
        self._lock.acquire()
        pause = 1.0
        while True:
            began = time.monotonic()
            for event in self._events():
                on_event(event)
            status = self._process.wait()
            if status == 0:
                raise StackFailedError(f"The stack was stopped from outside; see {self.home.supervisor_log}.")
            on_event(
                StackEvent(
                    kind="problem", text=f"The supervisor ended with status {status}; it is restarted."
                )
            )
            pause = 1.0 if time.monotonic() - began > _WELL_SECONDS else min(2 * pause, _LONGEST_PAUSE)
            time.sleep(pause)
            self._close_lease()
            self._process, self._lease = _spawn(self.home, "--take-over")

    def detach(self) -> None:
        """Let the stack outlive this process."""
        if self._lease is not None:
            os.write(self._lease, DETACH)
            self._detached = True
            self._close_lease()

    def stop(self) -> None:
        """Stop the stack and wait until nothing of it is left."""
        self._close_lease()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.returncode != 0:
            repair(self.home)

    def _events(self) -> Iterator[StackEvent]:
        assert self._process.stdout is not None  # noqa: S101 - it was opened as a pipe
        for line in self._process.stdout:
            yield StackEvent.model_validate_json(line)

    def _close_lease(self) -> None:
        if self._lease is not None:
            os.close(self._lease)
            self._lease = None


def launch(settings: Settings) -> Launch:
    """Start a supervisor for the settings' home, in its own session."""
    home = StackHome.of(settings)
    home.prepare()
    return Launch(home)


def _spawn(home: StackHome, *options: str) -> tuple[subprocess.Popen[str], int]:
    """A supervisor, and our end of its lease."""
    theirs, ours = os.pipe()
    with home.supervisor_log.open("ab") as log:
        process = subprocess.Popen(
            # -P: the current folder must not shadow packages.
            [sys.executable, "-P", "-m", "ops.stack.supervisor", *options, str(theirs)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=[theirs],
            start_new_session=True,
            env=os.environ
            | {"SEMBLANCE_HOME": str(home.root), STACK_MARK: f"{home.stack_id}/{SUPERVISOR_PART}"},
        )
    os.close(theirs)
    return process, ours


def wait_for_end(home: StackHome) -> None:
    """Return once no process stops the stack; one that starts it is ready then, or has failed."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while StackLock(home).is_held() and not home.state_file.exists() and time.monotonic() < deadline:
        time.sleep(_POLL)


def is_run_by_other(home: StackHome) -> bool:
    """Whether another process runs the stack, or is about to restart its supervisor."""
    return home.state_file.exists() and home.is_run()


def wait_for_other(
    home: StackHome, on_problems: Callable[[tuple[Problem, ...]], None] = lambda _: None
) -> StackState:
    """Wait until a stack that another process started, or is starting or repairing, answers.

    Raises StackFailedError with the problems if it does not.
    """
    deadline = time.monotonic() + _BUSY_SECONDS
    state = None
    while time.monotonic() < deadline:
        state = read_state(home)
        if state is not None and not state.problems and ServiceChecks(state.url).ask().ready:
            return state
        if not home.is_run():
            break
        if state is not None:
            on_problems(state.problems)
        time.sleep(_POLL)
    if state is None:
        raise StackFailedError(
            f"Another process was starting or stopping the stack in {home.root}, "
            "and it is not ready; try again."
        )
    problems = "\n".join(map(str, state.problems)) or f"{state.url}/ready does not answer 200."
    raise StackFailedError(
        f"The stack in {home.root} runs but does not get ready. "
        f"`semblance down`, then `semblance up` restarts it.\n{problems}"
    )


def stop_stack(home: StackHome) -> bool:
    """Stop the stack of a home, no matter which process started it, and clean up after a killed one.

    Returns whether there was something to stop. Raises StackFailedError if it does not end.
    """
    lock = StackLock(home)
    while (holder := lock.holder()) is None:
        repaired = repair(home)
        # A supervisor that is being replaced may have taken the lock first.
        if not lock.is_held():
            return repaired
    # Otherwise a supervisor that dies on the way down would be replaced.
    remove_state(home)
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(holder)
        process.terminate()
        # A stopped process gets no other signal.
        process.resume()
        try:
            process.wait(_STOP_SECONDS)
        except psutil.TimeoutExpired:
            _kill(process, home)
    GuardianPart(home).stop()
    repair(home)
    return True


def _kill(supervisor: psutil.Process, home: StackHome) -> None:
    """Kill a supervisor that does not end. Raises StackFailedError if that fails."""
    # It may have written its state again.
    remove_state(home)
    supervisor.kill()
    try:
        supervisor.wait(_KILL_SECONDS)
    except psutil.TimeoutExpired as exc:
        raise StackFailedError(
            f"The supervisor (pid {supervisor.pid}) cannot be killed; see {home.supervisor_log}."
        ) from exc


def repair(home: StackHome) -> bool:
    """Clean up after a supervisor that was killed. Returns whether there was anything to clean up."""
    lock = StackLock(home)
    if not home.root.exists() or not lock.acquire():
        return False
    try:
        had_state = home.state_file.exists()
        ended = sweep(home.stack_id)
        # Also a command that was killed leaves its server.
        postgres = EmbeddedPostgres(home.postgres)
        had_server = postgres.is_running()
        postgres.stop()
        home.unlink_ray()
        remove_state(home)
    finally:
        lock.release()
    return had_state or had_server or ended > 0


@dataclass(frozen=True, slots=True)
class StackSight:
    """A stack at one moment.

    Attributes:
        state: None if none runs.
        problems: those that its supervisor has written down; without any, what `/ready` says, since nothing
            is written while the disk of the home is full.
        ready: whether `/ready` answers 200.
    """

    state: StackState | None
    problems: tuple[Problem, ...]
    ready: bool


def look(home: StackHome) -> StackSight:
    """The stack of a home as it is now. `/ready` is asked once, so that what is said of it agrees."""
    problems, state = what_is_wrong(home), read_state(home)
    if state is None:
        return StackSight(None, problems, ready=False)
    now = ServiceChecks(state.url).ask()
    if not problems and now.problem is not None:
        problems = (Problem(part=ServiceChecks.name, text=now.problem, since=datetime.now(UTC)),)
    return StackSight(state, problems, now.ready)


def require_running(settings: Settings) -> StackState:
    """The running stack of the settings' home. Raises ConfigurationError if none runs."""
    home = StackHome.of(settings)
    state = read_state(home)
    if state is None:
        raise ConfigurationError(f"No stack runs in {home.root}. Start it with `semblance up --detach`.")
    return state


def _with_log(event: StackEvent) -> str:
    if event.log is None:
        return event.text
    with suppress(OSError):
        tail = event.log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
        return "\n".join([event.text, f"Last lines of {event.log}:", *(f"  {line}" for line in tail)])
    return event.text
