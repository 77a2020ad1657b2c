"""`semblance models`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings

models = typer.Typer(
    no_args_is_help=True, help="Model packs: list them, show their contents, verify their files."
)


@models.command("list")
def models_list() -> None:
    """List and check all model packs that SEMBLANCE_PACK can name."""
    from ops.commands.models.packs import list_models

    list_models(get_settings())


@models.command("verify")
def models_verify(
    name: Annotated[
        str | None, typer.Argument(help="Name or path of a pack. Default: the one in use.")
    ] = None,
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
    name: Annotated[
        str | None, typer.Argument(help="Name or path of a pack. Default: the one in use.")
    ] = None,
) -> None:
    """Show what a pack consists of: its nets, threshold, licence and digest."""
    from ops.commands.models.packs import show_model

    show_model(get_settings(), name)
