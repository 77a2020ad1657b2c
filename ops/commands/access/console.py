"""`semblance console`."""

from __future__ import annotations

import asyncio

import typer

from db.console_sessions import ConsoleSessions
from ops.commands.database import connected, open_database
from ops.commands.output import console, errors
from ops.stack.home import StackHome
from ops.stack.state import read_state
from semblance.errors import ConfigurationError
from semblance.settings import Settings


def print_link(settings: Settings) -> None:
    """Print a link and nothing else on standard output. Raises ConfigurationError if no service runs here."""
    state = read_state(StackHome.of(settings))
    url = settings.public_url or (None if state is None else state.url)
    if url is None:
        raise ConfigurationError(
            "No service runs here: start it with `semblance up --detach`, or set SEMBLANCE_PUBLIC_URL to the "
            "address of the one that uses this database."
        )
    with open_database(settings) as dsn:
        typer.echo(console_link(url, dsn))
    errors.print("It works once, and for two minutes.")


def sign_all_out(settings: Settings) -> None:
    """End all sessions of the console."""

    async def end(dsn: str) -> int:
        async with connected(dsn) as database:
            return await ConsoleSessions(database).revoke_all()

    with open_database(settings) as dsn:
        ended = asyncio.run(end(dsn))
    console.print(f"Ended {ended} {'session' if ended == 1 else 'sessions'}.")


def console_link(url: str, dsn: str) -> str:
    """A link that signs in to the console of the service at `url`. The code is in the fragment, which
    browsers do not send, so that it gets into no log. Raises DatabaseError."""

    async def make(dsn: str) -> str:
        async with connected(dsn) as database:
            return await ConsoleSessions(database).make_code()

    return f"{url.rstrip('/')}/console/#code={asyncio.run(make(dsn))}"
