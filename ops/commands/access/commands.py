"""`semblance token`, `keys` and `admins`."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from ops.commands.environment import get_settings

tokens = typer.Typer(no_args_is_help=True, help="Access tokens of users, for a machine of your own.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the face-compute endpoints.")
admins = typer.Typer(no_args_is_help=True, help="Users who may change the settings of the app.")


@tokens.command("create")
def token_create(
    *,
    email: Annotated[str, typer.Option(help="The user's e-mail address; its school becomes theirs.")],
    user_id: Annotated[
        UUID | None, typer.Option("--id", help="The user's id. Without it, always the same for an address.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The name a new profile begins with.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=8760, help="How long the token is valid.")] = 24,
) -> None:
    """Print an access token, as the identity provider would give a user who signs in.

    For a machine of your own: it is signed with the service's own secret, SEMBLANCE_JWT_SECRET or the one
    in the home, so it is taken by a service with the same settings. The profile is made by the first request.

    [bold]Examples[/]

      semblance token create --email ada@mit.edu --name Ada
      TOKEN=$(semblance token create --email ada@mit.edu)
      curl -H "Authorization: Bearer $TOKEN" "$SEMBLANCE_URL/api/auth/me"
    """
    from ops.commands.access.tokens import print_token

    print_token(get_settings(), email, user_id=user_id, name=name, lifetime=timedelta(hours=hours))


class KeyScope(StrEnum):
    """What an API key can open."""

    COMPUTE = "compute"
    SEARCH = "search"


@keys.command("create")
def keys_create(
    *,
    name: Annotated[str, typer.Option(help="Who or what will use it; for your own eyes.")],
    scope: Annotated[list[KeyScope], typer.Option(help="What it opens; several are possible.")] = [  # noqa: B006
        KeyScope.COMPUTE
    ],
) -> None:
    """Make an API key and print it, once: only its hash is kept.

    [cyan]compute[/] opens the endpoints that find, describe and compare faces, [cyan]search[/] the search
    among users' faces. Works on the database of [cyan]semblance migrate[/], with the rights of its owner.

    [bold]Examples[/]

      semblance keys create --name "photo booth"
      KEY=$(semblance keys create --name booth)
      curl -H "Authorization: Bearer $KEY" -F file=@photo.jpg "$SEMBLANCE_URL/lookalikes"
    """
    from ops.commands.access.keys import create_key

    create_key(get_settings(), name, [item.value for item in scope])


@keys.command("list")
def keys_list() -> None:
    """All API keys, also the revoked ones: how they begin, what they open, when they were used last."""
    from ops.commands.access.keys import list_keys

    list_keys(get_settings())


@keys.command("revoke")
def keys_revoke(key_id: Annotated[UUID, typer.Argument(help="As `semblance keys list` shows it.")]) -> None:
    """End an API key, for good; the next request with it is refused."""
    from ops.commands.access.keys import revoke_key

    revoke_key(get_settings(), key_id)


@admins.command("add")
def admins_add(email: Annotated[str, typer.Argument(help="Of somebody who has signed in once.")]) -> None:
    """Make a user an admin: /api/admin is open to them from the next request on.

    [bold]Examples[/]

      semblance admins add ada@example.edu
    """
    from ops.commands.access.admins import set_role

    set_role(get_settings(), email, "admin")


@admins.command("remove")
def admins_remove(email: Annotated[str, typer.Argument(help="As `semblance admins list` shows it.")]) -> None:
    """Take an admin's rights away."""
    from ops.commands.access.admins import set_role

    set_role(get_settings(), email, "user")


@admins.command("list")
def admins_list() -> None:
    """All admins."""
    from ops.commands.access.admins import list_admins

    list_admins(get_settings())
