"""The embedder as a Serve deployment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from ray import serve

from deployments.faces.embedding import FaceEmbedder
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.replica import configure_replica_logging, starting
from semblance.settings import get_settings
from semblance.types import Image, ModelInfo

logger = logging.getLogger(__name__)


class Embedder:
    """Photos that arrive while a batch runs form the next one."""

    @starting()
    def __init__(self) -> None:
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        pack = load_pack(settings)
        self._model = pack.info
        self._embedder = FaceEmbedder(pack)

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    @serve.batch(max_batch_size=16, batch_wait_timeout_s=0.002)
    async def embed(self, photos: list[Sequence[Image]]) -> list[NDArray[np.float32]]:
        """Embed the crops of each photo: float32 [faces, 512]. The values do not depend on the batch."""
        crops = [crop for photo in photos for crop in photo]
        vectors = await asyncio.to_thread(self._embedder.embed, crops)
        logger.debug("%d faces of %d photos embedded", len(crops), len(photos))
        ends = list(accumulate(len(photo) for photo in photos))
        return np.split(vectors, ends[:-1])
