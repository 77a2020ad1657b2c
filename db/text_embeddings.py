"""What bios and messages mean, as vectors: which texts lack theirs, and how they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pgvector import Vector

from db.pool import Connection, Database, Record
from db.queries import sql
from db.retention import remove_in_steps

DIMENSIONS: Final = 384
"""Numbers of a stored vector; those of the text pack that ships."""

TextSource = Literal["bio", "message"]

_AT_ONCE: Final = 10_000
"""Rows of one statement that works through a table."""


@dataclass(frozen=True, slots=True)
class TextVector:
    """What a text means. values: unit length, float32 [DIMENSIONS]. model: by which; only vectors of the
    same model can be compared."""

    values: NDArray[np.float32]
    model: str


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text that may have vectors. id: of the profile whose bio it is, or of the message."""

    source: TextSource
    id: UUID
    content: str


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """A text as it was read, and the vectors of its chunks: unit length, float32 [chunks, DIMENSIONS]."""

    text: SourceText
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TextCounts:
    """How many texts of each source may have vectors."""

    bios: int
    messages: int


@dataclass(frozen=True, slots=True)
class VectorsOfModel:
    """How many texts have vectors of a model, and when the latest was made."""

    model: str
    bios: int
    messages: int
    latest: datetime


class TextEmbeddings:
    """The table `text_embeddings`, and the view `embeddable_texts` of the texts that may have rows in it.
    Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sources(self) -> set[TextSource]:
        """The sources that an admin has switched on."""
        return {row["source"] for row in await self._database.fetch(sql.text_sources_on)}

    async def queue_missing(self, source: TextSource, model: str) -> int:
        """Queue the texts of a source that lack vectors of this model; returns how many."""
        queued = 0
        while True:
            async with self._database.transaction() as connection:
                await connection.execute(sql.lock_embedding_jobs)
                some = int(await connection.fetchval(sql.queue_missing_texts, source, model, _AT_ONCE))
            queued += some
            if some < _AT_ONCE:
                return queued

    async def to_embed(self, texts: Collection[UUID], model: str) -> list[SourceText]:
        """Those of these texts that may have vectors and lack those of this model."""
        return _texts(await self._database.fetch(sql.texts_to_embed, list(texts), model))

    async def missing(self, model: str, limit: int) -> list[SourceText]:
        """Up to `limit` texts that may have vectors and lack those of this model."""
        return _texts(await self._database.fetch(sql.missing_texts, model, limit))

    async def store(self, made: Sequence[EmbeddedText], model: str) -> int:
        """Store the vectors of texts that still may have them and have not changed since they were read;
        returns of how many texts."""
        async with self._database.transaction() as connection:
            return len(await _store(connection, made, model))

    async def count(self) -> TextCounts:
        """How many texts may have vectors."""
        [row] = await self._database.fetch(sql.count_embeddable_texts)
        return TextCounts(**row)

    async def models(self) -> list[VectorsOfModel]:
        """The models of which there are vectors, the latest first."""
        return [VectorsOfModel(**row) for row in await self._database.fetch(sql.count_text_embeddings)]

    async def retire(self, model: str) -> int:
        """Remove the vectors of all models but this one; returns how many."""
        return await remove_in_steps(self._database, sql.retire_text_embeddings, model)

    async def forget_messages(self) -> int:
        """Remove the vectors of messages, unless an admin has switched them on; returns how many."""
        return await remove_in_steps(self._database, sql.forget_messages)


async def store_or_queue_again(connection: Connection, made: EmbeddedText, model: str) -> None:
    """Store the vectors of a text, or queue another job if it has changed since it was read and still may
    have vectors."""
    if not await _store(connection, [made], model):
        await connection.execute(sql.queue_text, made.text.source, made.text.id)


def _texts(rows: Sequence[Record]) -> list[SourceText]:
    return [SourceText(row["source"], row["source_id"], row["content"]) for row in rows]


async def _store(connection: Connection, made: Sequence[EmbeddedText], model: str) -> set[UUID]:
    chunks = [(each.text, number) for each in made for number in range(len(each.vectors))]
    hashes = {each.text.id: hashlib.sha256(each.text.content.encode()).digest() for each in made}
    ids = [text.id for text, _ in chunks]
    await connection.execute(sql.lock_texts, list(hashes))
    await connection.execute(sql.forget_text_embeddings, list(hashes), model)
    rows = await connection.fetch(
        sql.store_text_embeddings,
        [text.source for text, _ in chunks],
        ids,
        [number for _, number in chunks],
        [hashes[text] for text in ids],
        model,
        # The driver would take arrays in a list for an array of two dimensions.
        [Vector(vector) for each in made for vector in each.vectors],
    )
    return {row["source_id"] for row in rows}
