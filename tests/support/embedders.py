"""Vectors without a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from db.inference_jobs import Author, Use
from db.text_embeddings import DIMENSIONS

Meanwhile = Callable[[Sequence[str]], Awaitable[None]]

CHUNK = 100
"""Characters."""


class Letters:
    """Vectors that count letters; notes what it is asked for."""

    author = Author("local", "letters")

    def __init__(self, model: str = "letters", meanwhile: Meanwhile | None = None) -> None:
        self.model = model
        self.calls: list[list[str]] = []
        self._meanwhile = meanwhile

    def cut(self, text: str) -> list[str]:
        return [text[first : first + CHUNK] for first in range(0, len(text), CHUNK)]

    async def embed(self, texts: Sequence[str]) -> tuple[NDArray[np.float32], Use]:
        self.calls.append(list(texts))
        if self._meanwhile is not None:
            await self._meanwhile(texts)
        counts = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            for letter in text:
                counts[row, ord(letter) % DIMENSIONS] += 1
        return counts / np.linalg.norm(counts, axis=1, keepdims=True), Use(10 * len(texts), 0, 0.5)

    async def close(self) -> None: ...
