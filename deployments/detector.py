"""The detector as a Serve deployment."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import cv2

from deployments.faces.decoder import DecoderProcess
from deployments.faces.finder import FaceFinder
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.photos import PhotoToSearch
from deployments.replica import configure_replica_logging, for_request, starting
from deployments.worker_thread import WorkerThread
from semblance.errors import ImageTooLargeError, UnreadableImageError
from semblance.metrics import FACES, PHOTOS
from semblance.settings import get_settings
from semblance.storage.pictures import StoredPicture
from semblance.types import Detection, ModelInfo

logger = logging.getLogger(__name__)


class Detector:
    """Works on one photo at a time on its own thread. Photos are decoded in a separate process."""

    @starting()
    def __init__(self) -> None:
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        cv2.setNumThreads(settings.threads)
        pack = load_pack(settings)
        self._model = pack.info
        self._finder = FaceFinder(pack, settings, DecoderProcess(settings))
        self._thread = WorkerThread("detect")

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    async def detect(
        self, photos: Sequence[PhotoToSearch]
    ) -> list[Detection | UnreadableImageError | ImageTooLargeError]:
        """As `FaceFinder.detect` for each photo, but with the error of a bad one in its place: Serve counts a
        raised error as a failure of the deployment and logs it with a traceback."""
        return await self._thread.run(lambda: [self._search(photo) for photo in photos])

    def _search(self, photo: PhotoToSearch) -> Detection | UnreadableImageError | ImageTooLargeError:
        with for_request(photo.request_id):
            try:
                detection = self._finder.detect(photo.data, photo.max_faces, counted=photo.counted)
            except (UnreadableImageError, ImageTooLargeError) as exc:
                PHOTOS.count(outcome=exc.code)
                return exc
            PHOTOS.count(outcome="faces" if detection.found else "no_face")
            if detection.found:
                FACES.count(detection.found)
            logger.debug("%d faces in a photo of %d bytes", len(detection.faces), len(photo.data))
            return detection

    async def render(self, data: bytes) -> StoredPicture | UnreadableImageError | ImageTooLargeError:
        """As `FaceFinder.render`; errors as in `detect`."""
        try:
            return await self._thread.run(self._finder.render, data)
        except (UnreadableImageError, ImageTooLargeError) as exc:
            return exc
