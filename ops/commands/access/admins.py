"""`semblance admins`."""

from __future__ import annotations

import asyncio

from rich.markup import escape
from rich.table import Table

from db.profiles import Profile, Profiles, Role
from ops.commands.database import connected, open_database
from ops.commands.output import console
from semblance.settings import Settings


def set_role(settings: Settings, email: str, role: Role) -> None:
    """Give a user the role. Raises NotFoundError if no user has the e-mail address."""

    async def change(dsn: str) -> None:
        async with connected(dsn) as database:
            await Profiles(database).set_role(email, role)

    with open_database(settings, as_owner=True) as dsn:
        asyncio.run(change(dsn))
    console.print(f"{escape(email)} is {'now an admin' if role == 'admin' else 'no longer an admin'}.")


def list_admins(settings: Settings) -> None:
    """Print all admins."""

    async def read(dsn: str) -> list[Profile]:
        async with connected(dsn) as database:
            return await Profiles(database).admins()

    with open_database(settings, as_owner=True) as dsn:
        found = asyncio.run(read(dsn))
    table = Table("E-mail", "Name")
    for profile in found:
        table.add_row(escape(profile.email or ""), escape(profile.name or ""))
    console.print(table)
