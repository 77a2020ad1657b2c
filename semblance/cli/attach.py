"""Running a stack from the command line: bring it up, hold it, take it down whatever happens."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from semblance.cli.output import Steps, console
from semblance.settings import Settings
from semblance.stack.front import Launch, launch, wait_for_other
from semblance.stack.home import StackHome
from semblance.stack.state import StackState, read_state

_POLL = 0.3
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running_stack(settings: Settings, steps: Steps) -> Iterator[tuple[StackState, Launch | None]]:
    """The stack of the settings' home for as long as the context lasts.

    One that already runs, or that another process is starting, is used and left alone; its Launch is None.
    One started here ends with the context unless it was detached, also on Ctrl-C, SIGTERM and SIGHUP.
    Raises StackFailedError.
    """
    home = StackHome.of(settings)
    if state := read_state(home):
        yield state, None
        return
    with _interruptible():
        started = launch(settings)
        try:
            state = started.follow(steps)
            if state is None:
                started.stop()
                yield wait_for_other(home), None
            else:
                yield state, started
        finally:
            if not started.is_detached:
                # A second Ctrl-C must not leave the half of it running.
                for ending in _ENDINGS:
                    signal.signal(ending, signal.SIG_IGN)
                steps.abort()
                with console.status("Stopping"):
                    started.stop()


def hold(started: Launch) -> NoReturn:
    """Wait for Ctrl-C; raises StackFailedError when the stack ends by itself."""
    while not started.has_ended():
        time.sleep(_POLL)
    raise started.failure()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Every way to end this process politely is a KeyboardInterrupt."""
    before = {ending: signal.getsignal(ending) for ending in _ENDINGS}
    for ending in _ENDINGS:
        signal.signal(ending, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")
        raise
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
