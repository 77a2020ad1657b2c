"""`semblance up`, `down`, `status` and `env`."""

from __future__ import annotations

import json
import shlex

import typer
from rich.markup import escape

from db.dsn import masked_dsn
from ops.commands.access.console import console_link
from ops.commands.output import Steps, console, fail, print_problems, print_state
from ops.commands.service.attach import hold, running_stack
from ops.stack.front import look, stop_stack
from ops.stack.home import StackHome
from ops.stack.ray_head import SERVE_FLAGS
from ops.stack.state import StackState, read_state
from semblance.errors import SemblanceError
from semblance.settings import Settings


def start(settings: Settings, *, detach: bool) -> None:
    """Start the stack and, unless `detach`, stay until it ends. Raises StackFailedError."""
    with Steps() as steps, running_stack(settings, steps) as (state, started):
        if detach and started is not None:
            # Before anything is printed: the reader of a pipe may be gone, which must not end the stack.
            started.detach()
        steps.end()
        if started is None:
            print_state(state, title="Already up")
            return
        print_state(state, title="Ready")
        # Of a service's journal there are more readers.
        if console.is_terminal:
            print_console(settings, state)
        if detach:
            return
        console.print("Ctrl-C stops everything.")
        hold(started)


def print_console(settings: Settings, state: StackState) -> None:
    """Print a link to the console of a running stack, outside any frame."""
    try:
        link = console_link(settings.public_url or state.url, state.database_url)
    except SemblanceError as exc:
        # The service runs all the same.
        fail(f"No link to the console could be made: {exc.message}")
        return
    console.print(f"Open {escape(link)} in a browser; it works once, and for two minutes.", soft_wrap=True)


def stop(settings: Settings) -> None:
    """Stop the stack, or clean up after one that was killed. Raises StackFailedError."""
    home = StackHome.of(settings)
    with console.status("Stopping"):
        stopped = stop_stack(home)
    console.print("Stopped." if stopped else f"Nothing was running in {home.root}.")


def print_status(settings: Settings, *, as_json: bool) -> bool:
    """Print the state of the stack. Returns whether it is ready."""
    home = StackHome.of(settings)
    sight = look(home)
    state, problems, ready = sight.state, sight.problems, sight.ready
    if as_json:
        content = state.model_dump(mode="json") if state else dict.fromkeys(StackState.model_fields)
        if state is not None:
            # What scripts print ends up in logs, where the password does not belong.
            content["database_url"] = masked_dsn(state.database_url)
        content["problems"] = [problem.model_dump(mode="json") for problem in problems]
        typer.echo(json.dumps({**content, "home": str(home.root), "ready": ready}, indent=2))
    elif state is None:
        if not problems:
            console.print(f"Nothing runs in {home.root}. Start it with [cyan]semblance up --detach[/].")
        print_problems(problems)
    else:
        print_state(state, title="Ready" if ready else "Running, but /ready does not answer 200")
        print_problems(problems)
    return ready


def print_environment(settings: Settings) -> bool:
    """Print the variables of the running stack as shell commands. Returns whether one runs."""
    home = StackHome.of(settings)
    state = read_state(home)
    if state is None:
        fail(f"Nothing runs in {home.root}. Start it with `semblance up --detach`.")
        return False
    variables = {
        "SEMBLANCE_URL": state.url,
        "SEMBLANCE_KEY": state.api_key,
        "RAY_API_SERVER_ADDRESS": state.dashboard_url,
        "RAY_DASHBOARD_ADDRESS": state.dashboard_url,
        "RAY_ADDRESS": state.ray_address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(state.ray_token_file),
        # The stack's own processes have it too. Without it Ray looks for 127.0.0.1 at the machine's address.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        # `serve run` binds the application in its own process.
        **SERVE_FLAGS,
    }
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    return True
