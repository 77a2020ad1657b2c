"""The analyzer as a Serve deployment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate, pairwise

import cv2

from deployments.batches import Batches
from deployments.faces.analysis import FaceAnalyzer
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.replica import configure_replica_logging, starting
from semblance.settings import get_settings
from semblance.types import DetectedFace, FaceAttributes, ModelInfo

logger = logging.getLogger(__name__)


class Analyzer:
    """Photos that arrive while a batch runs form the next one."""

    @starting()
    def __init__(self) -> None:
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        cv2.setNumThreads(settings.threads)
        pack = load_pack(settings)
        self._model = pack.info
        self._analyzer = FaceAnalyzer(pack)
        self._batches = Batches(self._analyze, "analyze")

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    async def analyze(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        """Analyze the faces of a photo. The values do not depend on the batch."""
        return await self._batches.result(faces)

    def _analyze(self, photos: Sequence[Sequence[DetectedFace]]) -> list[list[FaceAttributes]]:
        faces = [face for photo in photos for face in photo]
        attributes = self._analyzer.analyze(faces)
        logger.debug("%d faces of %d photos analyzed", len(faces), len(photos))
        ends = [0, *accumulate(len(photo) for photo in photos)]
        return [attributes[start:end] for start, end in pairwise(ends)]
