"""Who makes vectors of bios and queries: the text pack, or a server of OpenAI's protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from db.bios import DIMENSIONS
from db.inference_jobs import Author, Use
from deployments.packs.manifest import read_document
from deployments.texts.encoder import MINILM, TextEncoder
from deployments.texts.manifest import TextManifest
from deployments.writing.openai import BUSY, UNUSABLE, OpenAIClient, OpenAIEmbedder
from semblance.errors import ConfigurationError, PackError, TextProviderBusyError, TextRefusedError
from semblance.settings import Settings


class TextEmbedder(Protocol):
    """Makes vectors of texts; safe for concurrent calls."""

    @property
    def model(self) -> str:
        """Only vectors of the same model can be compared."""

    @property
    def author(self) -> Author:
        """Who is logged."""

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
        self._folder = settings.text_pack or MINILM
        self._settings = settings
        self._loading = threading.Lock()
        manifest = read_document(self._folder, TextManifest)
        if manifest.dimensions > DIMENSIONS:
            raise PackError(
                f"The text pack {manifest.name} gives vectors of {manifest.dimensions} numbers; the database "
                f"stores up to {DIMENSIONS}. Choose another one for SEMBLANCE_TEXT_PACK."
            )
        self.model = manifest.digest
        self.author = Author("local", manifest.name)

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
    def _encoder(self) -> TextEncoder:
        return TextEncoder(self._folder, self._settings)


class ServerEmbedder:
    """A model behind OpenAI's protocol. If its vectors are too long, it is asked for shorter ones, which
    OpenAI's models since 2024 can give."""

    def __init__(self, embedder: OpenAIEmbedder) -> None:
        self._embedder = embedder
        self._shortened: int | None = None
        self.author = embedder.author
        self.model = embedder.author.model

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


def open_embedder(settings: Settings) -> TextEmbedder:
    """The text pack, or `text_embedding_model` of the server. Raises ConfigurationError for settings that do
    not fit together."""
    if settings.text_embedding_model is None:
        return PackEmbedder(settings)
    if settings.text_url is None:
        raise ConfigurationError("SEMBLANCE_TEXT_EMBEDDING_MODEL needs the server of SEMBLANCE_TEXT_URL.")
    return ServerEmbedder(OpenAIEmbedder(OpenAIClient(settings), settings.text_embedding_model))


def padded(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filled up to DIMENSIONS with zeros, which keeps cosines."""
    return np.pad(vectors, ((0, 0), (0, DIMENSIONS - vectors.shape[1])))
