"""`semblance keys`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Column, Table

from db.api_keys import ApiKey, ApiKeys, Scope
from ops.commands.database import connected, open_database
from ops.commands.output import console, errors
from semblance.errors import BadInputError
from semblance.settings import Settings

_MAX_NAME = 100


def create_key(settings: Settings, name: str, scopes: Sequence[Scope]) -> None:
    """Print a new key and nothing else on standard output. Raises BadInputError for an invalid name."""
    name = name.strip()
    if not (0 < len(name) <= _MAX_NAME and name.isprintable()):
        raise BadInputError(f"The name of a key must have 1 to {_MAX_NAME} characters on one line.")

    async def create(dsn: str) -> tuple[str, ApiKey]:
        async with connected(dsn) as database:
            return await ApiKeys(database).create(name, scopes)

    with open_database(settings, as_owner=True) as dsn:
        key, stored = asyncio.run(create(dsn))
    typer.echo(key)
    errors.print(
        f"Keep the key: it is not shown again. To revoke it: [cyan]semblance keys revoke {stored.id}[/]",
        soft_wrap=True,
    )


def list_keys(settings: Settings) -> None:
    """Print a table of all keys, without their secrets."""

    async def read(dsn: str) -> list[ApiKey]:
        async with connected(dsn) as database:
            return await ApiKeys(database).all()

    with open_database(settings, as_owner=True) as dsn:
        found = asyncio.run(read(dsn))
    # Ids and prefixes are copied and compared, so they are never cut.
    table = Table(Column("Key", no_wrap=True), Column("Name", overflow="fold"), Column("State", no_wrap=True))
    for key in found:
        if key.revoked_at:
            state = f"[red]revoked {_minute(key.revoked_at)}[/]"
        elif key.last_used_at:
            state = f"[green]used {_minute(key.last_used_at)}[/]"
        else:
            state = "never used"
        begins = f"[dim]{key.prefix}… for {', '.join(key.scopes)}[/]"
        table.add_row(
            f"{key.id}\n{begins}", escape(key.name), f"{state}\n[dim]made {_minute(key.created_at)}[/]"
        )
    console.print(table)


def revoke_key(settings: Settings, key_id: UUID) -> None:
    """Revoke a key. Raises NotFoundError if it does not exist."""

    async def revoke(dsn: str) -> ApiKey:
        async with connected(dsn) as database:
            return await ApiKeys(database).revoke(key_id)

    with open_database(settings, as_owner=True) as dsn:
        key = asyncio.run(revoke(dsn))
    console.print(f"{escape(key.name)} ({key.prefix}…) is revoked.")


def _minute(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M}"
