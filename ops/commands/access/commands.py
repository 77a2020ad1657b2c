"""`semblance token`, `keys`, `admins` and `console`."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from ops.commands.environment import get_settings

tokens = typer.Typer(no_args_is_help=True, help="Access tokens of users, for your own machine.")
keys = typer.Typer(no_args_is_help=True, help="API keys of the face-compute endpoints.")
admins = typer.Typer(no_args_is_help=True, help="Users who may change the settings of the app.")


@tokens.command("create")
def token_create(
    *,
    email: Annotated[str, typer.Option(help="The user's e-mail address, which also gives their school.")],
    user_id: Annotated[
        UUID | None, typer.Option("--id", help="The user's id. Default: one derived from the address.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of a new profile.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=8760, help="How long the token is valid.")] = 24,
) -> None:
    """Print an access token like those that the identity provider issues at sign-in.

    It is signed with the service's own secret (SEMBLANCE_JWT_SECRET, or the one in the home), so that a
    service with the same settings accepts it. The first request creates the profile.

    [bold]Examples[/]

      semblance token create --email ada@mit.edu --name Ada
      TOKEN=$(semblance token create --email ada@mit.edu)
      curl -H "Authorization: Bearer $TOKEN" "$SEMBLANCE_URL/api/auth/me"
    """
    from ops.commands.access.tokens import print_token

    print_token(get_settings(), email, user_id=user_id, name=name, lifetime=timedelta(hours=hours))


class KeyScope(StrEnum):
    """What an API key gives access to."""

    COMPUTE = "compute"
    SEARCH = "search"
    METRICS = "metrics"


@keys.command("create")
def keys_create(
    *,
    name: Annotated[str, typer.Option(help="Who or what will use it, to tell keys apart.")],
    scope: Annotated[list[KeyScope], typer.Option(help="What it gives access to; can be repeated.")] = [  # noqa: B006
        KeyScope.COMPUTE
    ],
) -> None:
    """Create an API key and print it once: only its hash is kept.

    [cyan]compute[/] gives access to the endpoints that find, analyze and compare faces, [cyan]search[/] to
    the search among users' faces. Uses the same database as [cyan]semblance migrate[/], as its owner.

    [bold]Examples[/]

      semblance keys create --name "photo booth"
      KEY=$(semblance keys create --name booth)
      curl -H "Authorization: Bearer $KEY" -F file=@photo.jpg "$SEMBLANCE_URL/lookalikes"
    """
    from ops.commands.access.keys import create_key

    create_key(get_settings(), name, [item.value for item in scope])


@keys.command("list")
def keys_list() -> None:
    """List all API keys, revoked ones included: how they begin, what they open, when they were last used."""
    from ops.commands.access.keys import list_keys

    list_keys(get_settings())


@keys.command("revoke")
def keys_revoke(key_id: Annotated[UUID, typer.Argument(help="Id from `semblance keys list`.")]) -> None:
    """Revoke an API key for good. The next request with it is refused."""
    from ops.commands.access.keys import revoke_key

    revoke_key(get_settings(), key_id)


@admins.command("add")
def admins_add(
    email: Annotated[str, typer.Argument(help="Address of a user who has signed in before.")],
) -> None:
    """Make a user an admin, with access to /api/admin from the next request on.

    [bold]Examples[/]

      semblance admins add ada@example.edu
    """
    from ops.commands.access.admins import set_role

    set_role(get_settings(), email, "admin")


@admins.command("remove")
def admins_remove(
    email: Annotated[str, typer.Argument(help="Address from `semblance admins list`.")],
) -> None:
    """Make an admin an ordinary user again."""
    from ops.commands.access.admins import set_role

    set_role(get_settings(), email, "user")


@admins.command("list")
def admins_list() -> None:
    """List all admins."""
    from ops.commands.access.admins import list_admins

    list_admins(get_settings())


def console(
    sign_out_all: Annotated[
        bool, typer.Option("--sign-out-all", help="End all sessions, and withdraw all links.")
    ] = False,
) -> None:
    """Print a link that opens the console, signed in. It works once, and for two minutes.

    [bold]Examples[/]

      semblance console
      semblance console --sign-out-all
    """
    from ops.commands.access.console import print_link, sign_all_out

    if sign_out_all:
        sign_all_out(get_settings())
    else:
        print_link(get_settings())
