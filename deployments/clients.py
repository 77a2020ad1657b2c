"""Typed clients of the Serve handles. Ray's errors become the project's here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import uuid4

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.context import _set_request_context
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)
from ray.serve.handle import DeploymentHandle

from db.text_embeddings import TextVector
from deployments.joined import JoinedCalls
from deployments.photos import PhotoToSearch
from semblance.errors import NotReadyError, OverloadedError, SemblanceError
from semblance.logging import request_id_var
from semblance.storage.pictures import StoredPicture
from semblance.types import (
    AnalyzedFace,
    DetectedFace,
    Detection,
    FaceAttributes,
    Image,
    JobOutcome,
    ModelInfo,
)

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Attempts at a call whose replica dies. Every call here is safe to repeat."""

LEAST_DETECTOR_CALLS: Final = 2
"""Calls of the detector at once from one process on a single core: one is worked on, one waits for it."""

DETECTOR_CALLS: Final = 4
"""Most of them, however many cores there are: four replicas search more photos than one of the API passes
on."""

NET_CALLS: Final = 2
"""The same of embedder and analyzer: one is worked on, one waits for it."""

JOINED_PHOTOS: Final = 4
"""Most photos that the detector searches in one call: all of them wait for the last, and more leave cores
idle. With 16 connections on two cores, 4 gave 46 photos/s, 6 gave 43 and 8 gave 42."""

JOINED_BYTES: Final = 4 * 1024 * 1024
"""Most bytes of those photos together."""

JOINED_FACES: Final = 16
"""Most faces for which one call asks: the detector to find, the embedder and the analyzer to work on."""


class FaceClient:
    """Analyzes photos by calling detector, embedder and analyzer through their handles.

    Every method raises ImageTooLargeError or UnreadableImageError for a bad photo, OverloadedError when a
    deployment's queue is full, and NotReadyError when it has no live replica.
    """

    def __init__(
        self,
        detector: DeploymentHandle[Any],
        embedder: DeploymentHandle[Any],
        analyzer: DeploymentHandle[Any],
    ) -> None:
        self._detector = _by_pickle(detector)
        self._embedder = _by_pickle(embedder)
        self._analyzer = _by_pickle(analyzer)
        self._detect = JoinedCalls(self._search_photos, _fit_detector, calls=detector_calls(_cores()))
        self._embed = JoinedCalls(self._embed_faces, _fit_net, calls=NET_CALLS)
        self._analyze = JoinedCalls(self._analyze_faces, _fit_net, calls=NET_CALLS)
        self._photos_in_work = 0

    def checks(self, expected: ModelInfo) -> dict[str, Awaitable[str]]:
        """One awaitable per deployment: "ok" once it answers with the expected pack."""

        async def check(handle: DeploymentHandle[Any]) -> str:
            model: ModelInfo = await _call(handle.model.remote)
            if model != expected:
                raise NotReadyError(f"runs pack {model.pack} {model.digest[:12]}, not {expected.pack}")
            return "ok"

        return {
            "detector": check(self._detector),
            "embedder": check(self._embedder),
            "analyzer": check(self._analyzer),
        }

    async def detect(self, data: bytes, max_faces: int | None = None, *, counted: bool = True) -> Detection:
        """Find the faces of an encoded photo, largest first. counted: as in `FaceFinder.detect`."""
        with self._in_work() as is_alone:
            return await self._found(data, max_faces, counted, is_alone)

    async def render(self, data: bytes) -> StoredPicture:
        """Render the files to store of an encoded photo."""
        result: StoredPicture | SemblanceError = await _call(lambda: self._detector.render.remote(data))
        if isinstance(result, SemblanceError):
            raise result
        return result

    async def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Embed aligned crops: unit vectors, float32 [N, 512]."""
        return await self._embed.result(crops)

    async def analyze(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        """Analyze faces: their attributes, in order."""
        return await self._analyze.result(faces)

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None, *, counted: bool = True
    ) -> tuple[Detection, list[AnalyzedFace]]:
        """As `detect`, the faces in full: embedder and analyzer work at the same time."""
        with self._in_work() as is_alone:
            detection = await self._found(data, max_faces, counted, is_alone)
            if not detection.faces:
                return detection, []
            vectors, attributes = await asyncio.gather(
                self.embed([face.crops.aligned for face in detection.faces]),
                self.analyze(detection.faces),
            )
        faces = zip(detection.faces, vectors, attributes, strict=True)
        return detection, [AnalyzedFace(*parts) for parts in faces]

    @contextmanager
    def _in_work(self) -> Iterator[bool]:
        """A photo is in work meanwhile. Gives whether it is the only one."""
        self._photos_in_work += 1
        try:
            yield self._photos_in_work == 1
        finally:
            self._photos_in_work -= 1

    async def _found(self, data: bytes, max_faces: int | None, counted: bool, is_alone: bool) -> Detection:
        photo = PhotoToSearch(data, max_faces, counted, request_id_var.get(), is_alone)
        result = await self._detect.result(photo)
        if isinstance(result, SemblanceError):
            raise result
        return result

    async def _search_photos(self, photos: Sequence[PhotoToSearch]) -> list[Detection | SemblanceError]:
        found: list[Detection | SemblanceError] = await _joined(lambda: self._detector.detect.remote(photos))
        return found

    async def _embed_faces(self, photos: Sequence[Sequence[Image]]) -> list[NDArray[np.float32]]:
        vectors: list[NDArray[np.float32]] = await _joined(lambda: self._embedder.embed.remote(photos))
        return vectors

    async def _analyze_faces(self, photos: Sequence[Sequence[DetectedFace]]) -> list[list[FaceAttributes]]:
        attributes: list[list[FaceAttributes]] = await _joined(lambda: self._analyzer.analyze.remote(photos))
        return attributes


def _by_pickle(handle: DeploymentHandle[Any]) -> DeploymentHandle[Any]:
    """Only classes and functions of modules travel here, for which cloudpickle, Serve's default, takes twice
    as long."""
    return handle.options(request_serialization="pickle", response_serialization="pickle")


def _cores() -> float:
    """Of the whole cluster; 0 without a Ray."""
    if not ray.is_initialized():
        return 0.0
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get("CPU", 0.0)


def detector_calls(cores: float) -> int:
    """How many calls of the detector one process has in progress at once in a cluster with so many cores. A
    call that would wait for a core is better joined with the next one."""
    return max(LEAST_DETECTOR_CALLS, min(int(cores), DETECTOR_CALLS))


def _fit_detector(photos: Sequence[PhotoToSearch]) -> bool:
    most_faces = [photo.max_faces or JOINED_FACES for photo in photos]
    size = sum(len(photo.data) for photo in photos)
    return len(photos) <= JOINED_PHOTOS and size <= JOINED_BYTES and sum(most_faces) <= JOINED_FACES


def _fit_net(photos: Sequence[Sequence[object]]) -> bool:
    return sum(len(faces) for faces in photos) <= JOINED_FACES


class MatcherClient:
    """Calls the matcher over its handle. Raises as FaceClient does."""

    def __init__(self, matcher: DeploymentHandle[Any]) -> None:
        self._matcher = matcher

    async def check(self) -> str:
        """Return "ok" once the matcher works."""
        result: str = await _call(self._matcher.check.remote)
        return result

    async def process(self, limit: int) -> list[JobOutcome]:
        """Work on up to `limit` match jobs. Safe to repeat: no job is done twice."""
        result: list[JobOutcome] = await _call(lambda: self._matcher.process.remote(limit))
        return result


class WriterClient:
    """Calls the writer of texts over its handle. Raises as FaceClient does."""

    def __init__(self, writer: DeploymentHandle[Any]) -> None:
        self._writer = writer

    async def vector(self, text: str) -> TextVector:
        """What a text means. Also raises TextProviderBusyError, TextRefusedError."""
        found: TextVector = await _call(lambda: self._writer.vector.remote(text))
        return found

    async def process(self, limit: int) -> list[JobOutcome]:
        """Work on up to `limit` jobs of texts. Safe to repeat: no job has more than one effect."""
        result: list[JobOutcome] = await _call(lambda: self._writer.process.remote(limit))
        return result


async def _joined(send: Callable[[], Awaitable[Any]]) -> Any:
    """As `_call`, for several requests at once, in a separate task. Serve cancels the calls of a request
    whose client leaves, which it knows by an id; so this one has another."""
    _set_request_context(_internal_request_id=uuid4().hex)
    return await _call(send)


async def _call(send: Callable[[], Awaitable[Any]]) -> Any:
    """Send a handle call. The deployment's own errors arrive as the classes it raised."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await send()
        except BackPressureError as exc:
            raise OverloadedError("All workers are busy and their queues are full; try again soon.") from exc
        except (RayActorError, ReplicaUnavailableError) as exc:
            logger.warning("a worker died, attempt %d of %d", attempt, ATTEMPTS)
            if attempt == ATTEMPTS:
                raise NotReadyError("A worker died while it answered; try again soon.") from exc
        except DeploymentUnavailableError as exc:
            raise NotReadyError("The service is not deployed; see the Ray dashboard.", 5) from exc
        except RayTaskError as exc:
            if isinstance(exc.cause, SemblanceError):
                raise exc.cause from exc
            raise
    raise AssertionError("unreachable")
