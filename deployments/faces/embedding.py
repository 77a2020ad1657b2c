"""Aligned crops in, unit vectors of 512 out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.packs.nets import ModelPack
from semblance.tracing import span
from semblance.types import EMBEDDING_SIZE, Image

MAX_BATCH = 32
"""Most crops in one run of the net; beyond it a batch gains nothing and memory grows."""


class FaceEmbedder:
    """Embeds crops in batches; synchronous, usable without Ray."""

    def __init__(self, pack: ModelPack) -> None:
        self._net = pack.embedder()

    def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """RGB uint8 crops [A, A, 3] to unit vectors, float32 [N, 512]; no crops give [0, 512]."""
        with span("embed", faces=len(crops)):
            parts = [
                self._net.embed(np.stack(crops[start : start + MAX_BATCH]))
                for start in range(0, len(crops), MAX_BATCH)
            ]
        return np.concatenate(parts) if parts else np.empty((0, EMBEDDING_SIZE), np.float32)
