"""The embedder as a Serve deployment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from deployments.faces.embedding import FaceEmbedder
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.replica import configure_replica_logging, starting
from deployments.worker_thread import WorkerThread
from semblance.cores import give_way
from semblance.settings import get_settings
from semblance.types import Image, ModelInfo

logger = logging.getLogger(__name__)


class Embedder:
    """Works on one call at a time on its own thread. A call may have the faces of several photos."""

    @starting()
    def __init__(self) -> None:
        give_way()
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        pack = load_pack(settings)
        self._model = pack.info
        self._embedder = FaceEmbedder(pack)
        self._thread = WorkerThread("embed")

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    async def embed(self, photos: Sequence[Sequence[Image]]) -> list[NDArray[np.float32]]:
        """Embed the crops of each photo: float32 [faces, 512]. The values do not depend on the batch."""
        return await self._thread.run(self._embed, photos)

    def _embed(self, photos: Sequence[Sequence[Image]]) -> list[NDArray[np.float32]]:
        crops = [crop for photo in photos for crop in photo]
        vectors = self._embedder.embed(crops)
        logger.debug("%d faces of %d photos embedded", len(crops), len(photos))
        ends = list(accumulate(len(photo) for photo in photos))
        return np.split(vectors, ends[:-1])
