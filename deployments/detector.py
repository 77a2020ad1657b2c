"""The detector as a Serve deployment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import cv2

from deployments.faces.decoder import DecoderProcess
from deployments.faces.finder import FaceFinder
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.packs.sessions import CPU, available_providers
from deployments.photos import PhotoToSearch
from deployments.replica import configure_replica_logging, for_request, starting
from deployments.worker_thread import WorkerThread
from semblance.cores import give_way, usable_cores
from semblance.errors import SemblanceError
from semblance.metrics import FACES, PHOTOS
from semblance.settings import Settings, get_settings
from semblance.storage.pictures import StoredPicture
from semblance.types import Detection, ModelInfo

logger = logging.getLogger(__name__)


THREADS_ALONE: Final = 2
"""Threads of the nets for a photo that comes alone. Two find faces in three quarters of the time, for a fifth
more of CPU; for up to two fifths more where other work keeps the cores busy, since one thread waits for the
other. The nets of embedder and analyzer, which run at the same time, gain nothing from them."""


class Detector:
    """Works on one photo at a time on its own thread. Photos are decoded in a separate process."""

    @starting()
    def __init__(self) -> None:
        give_way()
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        cv2.setNumThreads(settings.threads)
        pack = load_pack(settings)
        self._model = pack.info
        decoder = DecoderProcess(settings)
        self._finder = FaceFinder(pack, settings, decoder)
        wide = _wide(settings)
        # Finds the same, for a photo that comes alone.
        self._wide = self._finder if wide is None else FaceFinder(load_pack(wide), wide, decoder)
        self._thread = WorkerThread("detect")

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    async def detect(self, photos: Sequence[PhotoToSearch]) -> list[Detection | SemblanceError]:
        """As `FaceFinder.detect` for each photo, but with the error of a bad one in its place: Serve counts a
        raised error as a failure of the deployment and logs it with a traceback."""
        return await self._thread.run(lambda: [self._search(photo) for photo in photos])

    def _search(self, photo: PhotoToSearch) -> Detection | SemblanceError:
        with for_request(photo.request_id):
            finder = self._wide if photo.is_alone else self._finder
            try:
                detection = finder.detect(photo.data, photo.max_faces, counted=photo.counted)
            except SemblanceError as exc:
                PHOTOS.count(outcome=exc.code)
                return exc
            PHOTOS.count(outcome="faces" if detection.found else "no_face")
            if detection.found:
                FACES.count(detection.found)
            logger.debug("%d faces in a photo of %d bytes", len(detection.faces), len(photo.data))
            return detection

    async def render(self, data: bytes) -> StoredPicture | SemblanceError:
        """As `FaceFinder.render`; errors as in `detect`."""
        try:
            return await self._thread.run(self._finder.render, data)
        except SemblanceError as exc:
            return exc


def _wide(settings: Settings) -> Settings | None:
    """The settings with which a photo that comes alone uses several cores; None where there is only one,
    where the nets do not run on cores, and where every photo has several threads."""
    if usable_cores() < THREADS_ALONE or settings.threads > 1 or available_providers(settings) != [CPU]:
        return None
    return settings.model_copy(update={"threads": THREADS_ALONE})
