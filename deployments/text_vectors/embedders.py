"""Who makes vectors of texts and queries: the text pack, or a server of OpenAI's protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from db.inference_jobs import Author, Use
from db.text_embeddings import DIMENSIONS, EmbeddedText, SourceText
from deployments.texts.chunks import TextCutter
from deployments.texts.encoder import TextEncoder
from deployments.texts.manifest import MINILM, text_pack
from deployments.writing.openai import BUSY, UNUSABLE, OpenAIClient, OpenAIEmbedder
from semblance.errors import ConfigurationError, PackError, TextProviderBusyError, TextRefusedError
from semblance.settings import Settings

TOGETHER: Final = 32
"""Chunks of one call of a model."""


class TextEmbedder(Protocol):
    """Makes vectors of texts; safe for concurrent calls."""

    @property
    def model(self) -> str:
        """Only vectors of the same model can be compared."""

    @property
    def author(self) -> Author:
        """Who is logged."""

    def cut(self, text: str) -> list[str]:
        """The chunks of a text that the model reads whole, at least one."""

    async def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Use]:
        """A vector of unit length for each text, float32 [len(texts), DIMENSIONS], and what it took.

        Raises PackError, TextProviderBusyError if a later attempt may succeed, TextRefusedError if none will.
        """

    async def close(self) -> None:
        """Close connections; nothing is called afterwards."""


class PackEmbedder:
    """A text pack, which is loaded when the first vector is asked for."""

    def __init__(self, settings: Settings) -> None:
        """Raises PackError for a manifest that is missing or invalid, or vectors that are too long."""
        self._folder, manifest = text_pack(settings)
        self._settings = settings
        self._loading = threading.Lock()
        if manifest.dimensions > DIMENSIONS:
            raise PackError(
                f"The text pack {manifest.name} gives vectors of {manifest.dimensions} numbers; the database "
                f"stores up to {DIMENSIONS}. Choose another one for SEMBLANCE_TEXT_PACK."
            )
        self.model = manifest.digest
        self.author = Author("local", manifest.name)

    def cut(self, text: str) -> list[str]:
        return self._cutter.cut(text)

    async def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Use]:
        vectors = await asyncio.to_thread(self._encode, texts)
        return padded(vectors), Use(0, 0, 0.0)

    async def close(self) -> None:
        """Nothing to release."""

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._loading:
            encoder = self._encoder
        return encoder.encode(texts)

    @cached_property
    def _cutter(self) -> TextCutter:
        return TextCutter.of_pack(self._folder)

    @cached_property
    def _encoder(self) -> TextEncoder:
        return TextEncoder(self._folder, self._settings)


class ServerEmbedder:
    """A model behind OpenAI's protocol. If its vectors are too long, it is asked for shorter ones, which
    OpenAI's models since 2024 can give. Its tokens are unknown here: texts are cut by those of the text pack
    that ships, whose limit is below that of other models."""

    def __init__(self, embedder: OpenAIEmbedder) -> None:
        self._embedder = embedder
        self._shortened: int | None = None
        self.author = embedder.author
        self.model = embedder.author.model

    def cut(self, text: str) -> list[str]:
        return self._cutter.cut(text)

    async def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Use]:
        vectors, use = await self._embedder.embed(texts, self._shortened)
        if len(vectors[0]) > DIMENSIONS and self._shortened is None:
            vectors, use = await self._embedder.embed(texts, DIMENSIONS)
            self._shortened = DIMENSIONS
        if len(vectors[0]) > DIMENSIONS:
            raise TextRefusedError(UNUSABLE)
        made = np.asarray(vectors, np.float32)
        lengths = np.linalg.norm(made, axis=1, keepdims=True)
        if not np.isfinite(made).all() or not lengths.all():
            raise TextProviderBusyError(BUSY)
        return padded(made / lengths), use

    async def close(self) -> None:
        await self._embedder.close()

    @cached_property
    def _cutter(self) -> TextCutter:
        return TextCutter.of_pack(MINILM)


def open_embedder(settings: Settings) -> TextEmbedder:
    """The text pack, or `text_embedding_model` of the server. Raises ConfigurationError for settings that do
    not fit together."""
    if settings.text_embedding_model is None:
        return PackEmbedder(settings)
    if settings.text_url is None:
        raise ConfigurationError("SEMBLANCE_TEXT_EMBEDDING_MODEL needs the server of SEMBLANCE_TEXT_URL.")
    return ServerEmbedder(OpenAIEmbedder(OpenAIClient(settings), settings.text_embedding_model))


async def embed_texts(embedder: TextEmbedder, texts: Sequence[SourceText]) -> tuple[list[EmbeddedText], Use]:
    """The vectors of the chunks of these texts, and what they took. Raises as `TextEmbedder.embed`."""
    chunks = await asyncio.to_thread(lambda: [embedder.cut(text.content) for text in texts])
    together = [chunk for each in chunks for chunk in each]
    vectors: list[NDArray[np.float32]] = []
    tokens, seconds = 0, 0.0
    for first in range(0, len(together), TOGETHER):
        made, use = await embedder.embed(together[first : first + TOGETHER])
        vectors.append(made)
        tokens, seconds = tokens + (use.tokens_in or 0), seconds + use.seconds
    parts = np.split(np.concatenate(vectors), np.cumsum([len(each) for each in chunks])[:-1])
    return list(map(EmbeddedText, texts, parts)), Use(tokens, 0, seconds)


def padded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filled up to DIMENSIONS with zeros, which keeps cosines."""
    return np.pad(vectors, ((0, 0), (0, DIMENSIONS - vectors.shape[1])))
