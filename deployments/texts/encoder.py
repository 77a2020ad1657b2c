"""Encodes texts: each becomes a vector that says what it means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deployments.packs.manifest import read_document
from deployments.packs.sessions import BATCH_TOLERANCE, open_session
from deployments.texts.manifest import TextManifest
from deployments.texts.word_pieces import WordPieces
from semblance.errors import PackError
from semblance.settings import Settings
from semblance.types import ModelInfo

MAX_BATCH_TOKENS = 4096
"""Most tokens of one run, those that fill up shorter texts included. Attention takes memory by the square of
the length: 16 texts of 256 tokens need 50 MB a layer."""

CHECKED = (
    "Violin",
    "I study marine biology and play football.",
    "Films, films and films: old ones above all!",
)
"""Texts of different lengths of the batch check at start."""


class TextEncoder:
    """A text pack, ready to encode. `encode` may be called from several threads.

    info: name and digest of the pack; vectors of different digests cannot be compared. dimensions: of a
    vector.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        """Raises PackError if the pack is missing, damaged, invalid or not permitted, or if its graph gives
        other vectors in a batch than one by one."""
        manifest = read_document(folder, TextManifest)
        manifest.check_licence(
            settings, commercial_use=manifest.licence.commercial_use, default="the text pack that ships"
        )
        manifest.verify(folder)
        self.info = ModelInfo(manifest.name, manifest.digest)
        self.dimensions = manifest.dimensions
        self._most = manifest.max_tokens
        self._pieces = WordPieces(folder / manifest.vocabulary)
        path = folder / manifest.encoder
        self._session = open_session(path, settings)
        self._check(path)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length, float32 [len(texts), dimensions]; their dot products are cosines, -1..1. Of
        a text longer than the pack's `max_tokens`, the beginning counts."""
        tokens = [self._pieces.ids(text, self._most) for text in texts]
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for members in batches([len(ids) for ids in tokens]):
            vectors[members] = self._run([tokens[index] for index in members])
        return vectors

    def _run(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(tokens):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        (vectors,) = self._session.run(["embedding"], {"ids": ids, "mask": mask})
        return np.asarray(vectors, np.float32)

    def _check(self, path: Path) -> None:
        tokens = [self._pieces.ids(text, self._most) for text in CHECKED]
        try:
            together = self._run(tokens)
            alone = np.concatenate([self._run([ids]) for ids in tokens])
        except Exception as exc:  # onnxruntime's own exceptions share no base class
            raise PackError(f"{path} cannot encode {len(CHECKED)} texts: {exc}") from exc
        if together.shape != (len(CHECKED), self.dimensions):
            raise PackError(
                f"{path} gives vectors of {together.shape[1:]}; the manifest says {self.dimensions}."
            )
        if not np.allclose(together, alone, rtol=0, atol=BATCH_TOLERANCE):
            raise PackError(f"{path} gives other vectors in a batch than one by one: its mask has no effect.")
        if not np.allclose(np.linalg.norm(alone, axis=1), 1, atol=BATCH_TOLERANCE):
            raise PackError(f"{path} gives vectors that are not of unit length.")


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The indices of texts with these numbers of tokens, in batches of similar length that do not exceed
    MAX_BATCH_TOKENS when all are filled up to the longest. A longer text is alone."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > MAX_BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
