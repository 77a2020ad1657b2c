"""What the commands print: steps while a stack starts, panels, errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from ops.stack.events import StackEvent
from ops.stack.home import StackHome
from ops.stack.state import Problem, StackState
from semblance.settings import variable

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


class Steps:
    """Shows one step after another with the seconds each took. A context manager and an event handler."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._text = ""
        self._began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.end()
        else:
            self.abort()

    def __call__(self, event: StackEvent) -> None:
        """Show an event of a stack that starts."""
        if event.kind == "step":
            self.step(event.text)
        elif event.kind == "detail" and self._status is not None:
            self._status.update(f"{escape(self._text)} [dim]{escape(event.text)}[/]")

    def step(self, text: str) -> None:
        """End the previous step and begin this one."""
        self.end()
        self._text, self._began = text, time.monotonic()
        if console.is_terminal:
            self._status = console.status(escape(text))
            self._status.start()

    def end(self) -> None:
        """End the current step."""
        self._finish("[green]✓[/]")

    def abort(self) -> None:
        """Mark the current step, if there is one, as failed."""
        self._finish("[red]✗[/]")

    def _finish(self, mark: str) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._text:
            seconds = time.monotonic() - self._began
            console.print(f"{mark} {escape(self._text)} [dim]{seconds:.1f} s[/]")
            self._text = ""


def print_state(state: StackState, *, title: str) -> None:
    """Print the addresses of a running stack. On a terminal its secrets too; elsewhere, as in a service's
    journal, only the files that hold them."""
    # Imported late: it loads a database driver, which --help does not need.
    from db.dsn import masked_dsn  # noqa: PLC0415

    token = state.ray_token_file.read_text().strip() if console.is_terminal else f"in {state.ray_token_file}"
    rows = {
        "API": state.url,
        "Documentation": state.docs_url,
        "Ray dashboard": state.dashboard_url,
        "Ray token": f"{token} (the dashboard asks for it)",
        "Database": masked_dsn(state.database_url),
        "API key": state.api_key if console.is_terminal else _key_place(state),
    }
    if state.old_names:
        names = (f"{variable(field)} from {name}" for field, name in state.old_names.items())
        rows["Old names"] = ", ".join(names)
    rows["Home"] = str(state.home)
    console.rule(f"[bold green]{title}[/]", align="left", style="green")
    for label, value in rows.items():
        # Links and keys are copied from here: a line is broken by the terminal, if at all.
        console.print(f"[bold]{label:14}[/] {escape(value)}", highlight=False, soft_wrap=True)


def _key_place(state: StackState) -> str:
    """Where a permitted reader finds the API key."""
    file = StackHome(state.home).api_key_file
    if file.exists() and file.read_text().strip() == state.api_key:
        return f"in {file}"
    if state.api_key_file is None:
        return f"in {state.old_names.get('api_key', 'SEMBLANCE_API_KEY')}"
    return f"was in {file}, which has changed since; `semblance env` prints it"


def print_problems(problems: Iterable[Problem]) -> None:
    """Print a line for each problem of a stack."""
    for problem in problems:
        console.print(f"[yellow]![/] {escape(str(problem))}", soft_wrap=True)


def print_curl(state: StackState, photo: str) -> None:
    """Print a request to copy, outside any frame."""
    key = state.api_key if console.is_terminal else "…"
    console.print(
        f"curl -H 'Authorization: Bearer {key}' -F 'file=@{escape(photo)}' {state.url}/lookalikes",
        soft_wrap=True,
    )


def place_of(exc: OSError) -> str:
    """The file that an error is about, in parentheses; nothing if it names none."""
    return f" ({exc.filename})" if exc.filename else ""


def fail(message: str) -> None:
    """Print why a command failed."""
    first, _, rest = message.partition("\n")
    errors.print(f"[bold red]Error:[/] {escape(first)}", soft_wrap=True)
    if rest:
        errors.print(f"[dim]{escape(rest)}[/]", soft_wrap=True)
    sys.stderr.flush()
