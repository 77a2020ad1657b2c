"""The detector as a Serve deployment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

import cv2

from deployments.faces.decoder import DecoderProcess
from deployments.faces.finder import FaceFinder
from deployments.message_limit import check_message_limit
from deployments.packs.registry import load_pack
from deployments.replica import configure_replica_logging, starting
from semblance.errors import ImageTooLargeError, UnreadableImageError
from semblance.metrics import FACES, PHOTOS
from semblance.settings import get_settings
from semblance.storage.pictures import StoredPicture
from semblance.types import Detection, ModelInfo

logger = logging.getLogger(__name__)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class Detector:
    """Works on one photo at a time on its own thread, so that the replica's event loop keeps answering health
    checks and queue probes. Photos are decoded in a separate process."""

    @starting()
    def __init__(self) -> None:
        settings = get_settings()
        configure_replica_logging(settings)
        check_message_limit(settings)
        cv2.setNumThreads(settings.threads)
        pack = load_pack(settings)
        self._model = pack.info
        self._finder = FaceFinder(pack, settings, DecoderProcess(settings))
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="detect")

    async def model(self) -> ModelInfo:
        """The pack that this replica runs."""
        return self._model

    async def detect(
        self, data: bytes, max_faces: int | None = None
    ) -> Detection | UnreadableImageError | ImageTooLargeError:
        """As `FaceFinder.detect`, but returns the error of a bad photo: Serve counts a raised error as a
        failure of the deployment and logs it with a traceback."""
        try:
            detection = await self._on_thread(self._finder.detect, data, max_faces)
        except (UnreadableImageError, ImageTooLargeError) as exc:
            PHOTOS.count(outcome=exc.code)
            return exc
        PHOTOS.count(outcome="faces" if detection.found else "no_face")
        if detection.found:
            FACES.count(detection.found)
        logger.debug("%d faces in a photo of %d bytes", len(detection.faces), len(data))
        return detection

    async def render(self, data: bytes) -> StoredPicture | UnreadableImageError | ImageTooLargeError:
        """As `FaceFinder.render`; errors as in `detect`."""
        try:
            return await self._on_thread(self._finder.render, data)
        except (UnreadableImageError, ImageTooLargeError) as exc:
            return exc

    async def _on_thread(
        self, work: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
    ) -> _Result:
        """As `asyncio.to_thread`: in the request's context, so that logs and traces know it there."""
        in_context = partial(copy_context().run, work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._worker, in_context)
