"""`semblance texts`: the models by which people are found, and the change from one to another."""

from __future__ import annotations

import asyncio

import typer
from rich.markup import escape
from rich.table import Column, Table

from db.bios import Bios, VectorsOfModel
from deployments.bios.embedders import TextEmbedder, open_embedder
from ops.commands.database import connected, open_database
from ops.commands.output import console
from semblance.errors import ConfigurationError
from semblance.settings import Settings

_READ_AT_ONCE = 512
_TOGETHER = 32
"""Bios of one call of the model."""


def list_models(settings: Settings) -> None:
    """Print a table of the models, the latest first."""
    embedder = open_embedder(settings)
    with open_database(settings) as dsn:
        total, models = asyncio.run(_models(dsn))
    table = Table(Column("Model", no_wrap=True), Column("Bios", justify="right"), "Latest", "")
    for found in models:
        chosen = "in the settings" if found.model == embedder.model else ""
        latest = f"{found.latest.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(escape(found.model[:16]), f"{found.vectors:,} of {total:,}", latest, chosen)
    console.print(table)


def embed_bios(settings: Settings) -> None:
    """Embed all bios that lack a vector of the settings' model. Raises ConfigurationError while the search is
    off."""
    embedder = open_embedder(settings)
    with open_database(settings) as dsn:
        done = asyncio.run(_embed(dsn, embedder))
    console.print(f"Embedded {done:,} bios by {escape(embedder.author.model)}.")


def retire_models(settings: Settings, *, sure: bool) -> bool:
    """Remove the vectors of all models but the settings'. Returns False if the user does not want it, or the
    settings' model lacks bios that another one has."""
    embedder = open_embedder(settings)
    with open_database(settings) as dsn:
        total, models = asyncio.run(_models(dsn))
        kept = sum(found.vectors for found in models if found.model == embedder.model)
        others = [found for found in models if found.model != embedder.model]
        if not others:
            console.print("There are no vectors of other models.")
            return True
        if kept < max(found.vectors for found in others):
            console.print(
                f"Nothing was removed: the model in the settings covers {kept:,} of {total:,} bios. Run "
                "[cyan]semblance texts embed[/] first."
            )
            return False
        count = sum(found.vectors for found in others)
        if not sure and not typer.confirm(f"Remove {count:,} vectors of other models?"):
            return False
        removed = asyncio.run(_retire(dsn, embedder.model))
    console.print(f"Removed {removed:,} vectors.")
    return True


async def _models(dsn: str) -> tuple[int, list[VectorsOfModel]]:
    async with connected(dsn) as database:
        return await Bios(database).count(), await Bios(database).models()


async def _embed(dsn: str, embedder: TextEmbedder) -> int:
    done = 0
    try:
        async with connected(dsn) as database:
            bios = Bios(database)
            if not await bios.searched():
                raise ConfigurationError(
                    "The search for people is off; an admin switches it on with the setting profile_search."
                )
            with console.status("Embedding") as status:
                while missing := await bios.missing(embedder.model, _READ_AT_ONCE):
                    people = list(missing)
                    for first in range(0, len(people), _TOGETHER):
                        some = {person: missing[person] for person in people[first : first + _TOGETHER]}
                        vectors, _ = await embedder.embed(list(some.values()))
                        done += await bios.store(some, embedder.model, vectors)
                        status.update(f"Embedding: {done:,} bios")
    finally:
        await embedder.close()
    return done


async def _retire(dsn: str, model: str) -> int:
    async with connected(dsn) as database:
        return await Bios(database).retire(model)
