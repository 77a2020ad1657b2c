"""`semblance texts`: the models by which texts are found, and the change from one to another."""

from __future__ import annotations

import asyncio

import typer
from rich.markup import escape
from rich.table import Column, Table

from db.audit import audit
from db.pool import Database
from db.text_embeddings import TextCounts, TextEmbeddings, VectorsOfModel
from db.text_indexes import drop_other_indexes, ensure_index
from deployments.text_vectors import embedders
from deployments.text_vectors.embedders import TOGETHER, TextEmbedder, open_embedder
from ops.commands.database import connected, open_database
from ops.commands.output import console
from semblance.errors import ConfigurationError
from semblance.settings import Settings

_READ_AT_ONCE = 1024


def list_models(settings: Settings) -> None:
    """Print a table of the models, the latest first."""
    embedder = open_embedder(settings)
    with open_database(settings) as dsn:
        total, models = asyncio.run(_models(dsn))
    table = Table(
        Column("Model", no_wrap=True),
        Column("Bios", justify="right"),
        Column("Messages", justify="right"),
        "Latest",
        "",
    )
    for found in models:
        chosen = "in the settings" if found.model == embedder.model else ""
        latest = f"{found.latest.astimezone():%Y-%m-%d %H:%M:%S}"
        counts = (f"{found.bios:,} of {total.bios:,}", f"{found.messages:,} of {total.messages:,}")
        table.add_row(escape(found.model[:16]), *counts, latest, chosen)
    console.print(table)


def embed_texts(settings: Settings) -> None:
    """Make the index of the settings' model, and embed all texts that lack vectors of it. Raises
    ConfigurationError while all searches by meaning are off, and for a login that does not own the
    database."""
    embedder = open_embedder(settings)
    with open_database(settings, as_owner=True) as dsn:
        done = asyncio.run(_embed(dsn, embedder))
    console.print(f"Embedded {done:,} texts by {escape(embedder.author.model)}.")


def retire_models(settings: Settings, *, sure: bool) -> bool:
    """Remove the vectors of all models but the settings', and their indexes. Returns False if the user does
    not want it, or the settings' model lacks texts that another one has."""
    embedder = open_embedder(settings)
    with open_database(settings, as_owner=True) as dsn:
        total, models = asyncio.run(_models(dsn))
        kept = sum(found.bios + found.messages for found in models if found.model == embedder.model)
        others = [found.bios + found.messages for found in models if found.model != embedder.model]
        if not others:
            drop_other_indexes(dsn, embedder.model)
            console.print("There are no vectors of other models.")
            return True
        if kept < max(others):
            console.print(
                f"Nothing was removed: the model in the settings covers {kept:,} of "
                f"{total.bios + total.messages:,} texts. Run [cyan]semblance texts embed[/] first."
            )
            return False
        if not sure and not typer.confirm(f"Remove the vectors of {sum(others):,} texts by other models?"):
            return False
        # First, so that no deletion has to maintain it.
        drop_other_indexes(dsn, embedder.model)
        removed = asyncio.run(_retire(dsn, embedder.model))
    console.print(f"Removed {removed:,} vectors.")
    return True


async def _models(dsn: str) -> tuple[TextCounts, list[VectorsOfModel]]:
    async with connected(dsn) as database:
        return await TextEmbeddings(database).count(), await TextEmbeddings(database).models()


async def _embed(dsn: str, embedder: TextEmbedder) -> int:
    done = 0
    try:
        async with connected(dsn) as database:
            embeddings = TextEmbeddings(database)
            if not await embeddings.sources():
                raise ConfigurationError(
                    "The searches by meaning are off; an admin switches them on with the settings "
                    "profile_search and message_search."
                )
            with console.status("Making the index") as status:
                await asyncio.to_thread(ensure_index, dsn, embedder.model)
                while missing := await embeddings.missing(embedder.model, _READ_AT_ONCE):
                    for first in range(0, len(missing), TOGETHER):
                        made, _ = await embedders.embed_texts(embedder, missing[first : first + TOGETHER])
                        done += await embeddings.store(made, embedder.model)
                        status.update(f"Embedding: {done:,} texts")
            await _audit(database, "text_vectors.embed", embedder.model, texts=done)
    finally:
        await embedder.close()
    return done


async def _audit(database: Database, action: str, model: str, **after: int) -> None:
    async with database.transaction() as connection:
        await audit(connection, action, model, after=after)


async def _retire(dsn: str, model: str) -> int:
    async with connected(dsn) as database:
        removed = await TextEmbeddings(database).retire(model)
        await _audit(database, "text_vectors.retire", model, removed=removed)
    return removed
