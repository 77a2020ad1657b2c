"""The analyzer as a Serve deployment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate, pairwise

import cv2

from deployments.faces.analysis import FaceAnalyzer
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.replica import configure_replica_logging, starting
from deployments.worker_thread import WorkerThread
from semblance.cores import give_way
from semblance.settings import get_settings
from semblance.types import DetectedFace, FaceAttributes, ModelInfo

logger = logging.getLogger(__name__)


class Analyzer:
    """Works on one call at a time on its own thread. A call may have the faces of several photos."""

    @starting()
    def __init__(self) -> None:
        give_way()
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        cv2.setNumThreads(settings.threads)
        pack = load_pack(settings)
        self._model = pack.info
        self._analyzer = FaceAnalyzer(pack)
        self._thread = WorkerThread("analyze")

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    async def analyze(self, photos: Sequence[Sequence[DetectedFace]]) -> list[list[FaceAttributes]]:
        """Analyze the faces of each photo. The values do not depend on the batch."""
        return await self._thread.run(self._analyze, photos)

    def _analyze(self, photos: Sequence[Sequence[DetectedFace]]) -> list[list[FaceAttributes]]:
        faces = [face for photo in photos for face in photo]
        attributes = self._analyzer.analyze(faces)
        logger.debug("%d faces of %d photos analyzed", len(faces), len(photos))
        ends = [0, *accumulate(len(photo) for photo in photos)]
        return [attributes[start:end] for start, end in pairwise(ends)]
