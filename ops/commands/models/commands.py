"""`semblance models`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings

models = typer.Typer(
    no_args_is_help=True, help="Model packs: which there are, what they are, whether intact."
)


@models.command("list")
def models_list() -> None:
    """All model packs that can be named in SEMBLANCE_PACK, checked."""
    from ops.commands.models.packs import list_models

    list_models(get_settings())


@models.command("verify")
def models_verify(
    name: Annotated[str | None, typer.Argument(help="A pack or a path; without it, the one in use.")] = None,
) -> None:
    """Compare every file of a pack with its recorded SHA-256.

    [bold]Examples[/]

      semblance models verify
      semblance models verify buffalo_l
    """
    from ops.commands.models.packs import verify_model

    verify_model(get_settings(), name)


@models.command("show")
def models_show(
    name: Annotated[str | None, typer.Argument(help="A pack or a path; without it, the one in use.")] = None,
) -> None:
    """What a pack is made of: its nets, its threshold, its licence, its digest."""
    from ops.commands.models.packs import show_model

    show_model(get_settings(), name)
