"""Running a stack from the command line: start it, stay with it, and stop it in every case."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import NoReturn

from rich.markup import escape

from ops.commands.output import Steps, console, print_problems
from ops.stack.events import StackEvent
from ops.stack.front import Launch, is_run_by_other, launch, wait_for_end, wait_for_other
from ops.stack.home import StackHome, StackLock
from ops.stack.state import Problem, StackState
from semblance.settings import Settings

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def running_stack(settings: Settings, steps: Steps) -> Iterator[tuple[StackState, Launch | None]]:
    """Give the stack of the settings' home as soon as it answers.

    A stack that already runs, or that another process is starting or repairing, is used and left alone; its
    Launch is None. A stack started here ends with the context unless it was detached, also on Ctrl-C, SIGTERM
    and SIGHUP. Raises StackFailedError.
    """
    home = StackHome.of(settings)
    with console.status("Waiting for another command to start or stop this stack"):
        wait_for_end(home)
    if is_run_by_other(home):
        yield _mended(home), None
        return
    with _interruptible(home):
        started = launch(settings)
        try:
            state = started.follow(steps)
            if state is None:
                started.stop()
                yield _mended(home), None
            else:
                yield state, started
        finally:
            if not started.is_detached:
                # A second Ctrl-C must not leave half of it running.
                for ending in _ENDINGS:
                    signal.signal(ending, signal.SIG_IGN)
                steps.abort()
                with console.status("Stopping"):
                    started.stop()


def hold(started: Launch) -> NoReturn:
    """Print what happens to the stack until Ctrl-C. Raises StackFailedError if it is stopped from outside."""
    started.hold(_print_event)


def _print_event(event: StackEvent) -> None:
    now = f"[dim]{datetime.now().astimezone():%H:%M:%S}[/]"
    if event.kind == "problem":
        console.print(f"{now} [yellow]![/] {escape(event.text)}", soft_wrap=True)
    elif event.kind == "healed":
        console.print(f"{now} [green]✓[/] All parts answer again.")


def _mended(home: StackHome) -> StackState:
    """The state of a stack that another process started, once it answers. Prints problems meanwhile."""
    told: set[str] = set()

    def tell(problems: tuple[Problem, ...]) -> None:
        print_problems(problem for problem in problems if problem.part not in told)
        told.update(problem.part for problem in problems)

    with console.status("Waiting for the stack to answer"):
        return wait_for_other(home, tell)


@contextmanager
def _interruptible(home: StackHome) -> Iterator[None]:
    """Turn every signal that asks this process to end into KeyboardInterrupt. Signals that were ignored, as
    under nohup, stay ignored."""
    handlers = {ending: signal.getsignal(ending) for ending in _ENDINGS}
    before = {ending: handler for ending, handler in handlers.items() if handler != signal.SIG_IGN}
    for ending in before:
        signal.signal(ending, _interrupt)
    try:
        yield
    except KeyboardInterrupt:
        if StackLock(home).is_held():
            console.print("Another process runs this stack, and it keeps running. `semblance down` stops it.")
        else:
            console.print("Stopped; nothing is left running.")
        raise
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
