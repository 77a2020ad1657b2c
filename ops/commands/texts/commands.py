"""`semblance texts`."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.commands.environment import get_settings

texts = typer.Typer(no_args_is_help=True, help="Vectors of bios and messages.")


@texts.command("list")
def texts_list() -> None:
    """List the models by which texts were embedded, and how many texts each of them covers."""
    from ops.commands.texts.vectors import list_models

    list_models(get_settings())


@texts.command("embed")
def texts_embed() -> None:
    """Embed all texts by the model of SEMBLANCE_TEXT_PACK or SEMBLANCE_TEXT_EMBEDDING_MODEL, beside the
    vectors of the model in use, and make the model's vector index. Needs the owner's login.

    Run it with the new setting before the service has it: searches go on with the old model, and with the new
    one as soon as the service is restarted with it. It can be interrupted and repeated. To go back, set the
    old model again.

    [bold]Example[/]

      SEMBLANCE_TEXT_PACK=/packs/multilingual semblance texts embed
    """
    from ops.commands.texts.vectors import embed_texts

    embed_texts(get_settings())


@texts.command("retire")
def texts_retire(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove the vectors and indexes of all models but the one in the settings. Then there is no quick way
    back. Needs the owner's login."""
    from ops.commands.texts.vectors import retire_models

    if not retire_models(get_settings(), sure=yes):
        raise typer.Exit(1)
