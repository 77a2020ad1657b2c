"""Baseline: the four deployments on Ray Serve with its defaults, as its documentation has one write them.

It says how much of what a photo costs beside the nets is Ray Serve's. Detector, embedder and analyzer are
Semblance's classes; a request of the API calls each of them over a handle. There is nothing else: no access
checks, no limits, no gateway, no database, and photos are decoded by the process that searches them.

    python -m benchmarks.serve_service PORT
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, cast

import cv2
import numpy as np
import ray
from numpy.typing import NDArray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from deployments.faces.analysis import FaceAnalyzer
from deployments.faces.embedding import FaceEmbedder
from deployments.faces.finder import FaceFinder
from deployments.faces.memory import keep_memory
from deployments.packs.registry import load_pack
from ops.stack.ray_head import LOOPBACK
from semblance.settings import Settings
from semblance.types import AnalyzedFace, DetectedFace, Detection, FaceAttributes, Image
from serve_app.schemas.compute import FaceAnswer

READY = "ready"
"""The line that it prints once it answers."""


class PlainDetector:
    """A replica for each core; another photo waits in it, so that it never idles."""

    def __init__(self) -> None:
        settings = Settings(threads=1)
        keep_memory(settings.image_memory_bytes)
        cv2.setNumThreads(1)
        self._finder = FaceFinder(load_pack(settings), settings)

    async def detect(self, photo: bytes) -> Detection:
        """The largest face of a photo."""
        return self._finder.detect(photo, 1, counted=False)


class PlainEmbedder:
    """One replica."""

    def __init__(self) -> None:
        self._embedder = FaceEmbedder(load_pack(Settings(threads=1)))

    async def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """The embeddings of faces."""
        return self._embedder.embed(crops)


class PlainAnalyzer:
    """One replica."""

    def __init__(self) -> None:
        self._analyzer = FaceAnalyzer(load_pack(Settings(threads=1)))

    async def analyze(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        """The attributes of faces."""
        return self._analyzer.analyze(faces)


class PlainAPI:
    """Answers every path as `POST /analyze-face-advanced`."""

    def __init__(self, *nets: DeploymentHandle[Any]) -> None:
        self._detector, self._embedder, self._analyzer = nets
        self._model = load_pack(Settings()).info

    async def __call__(self, request: Request) -> Response:
        async with request.form() as form:
            photo = await cast(UploadFile, form["file"]).read()
        detection: Detection = await self._detector.detect.remote(photo)
        if not detection.faces:
            return JSONResponse({"error": "No face detected in image"}, 400)
        faces = list(detection.faces)
        embedding = self._embedder.embed.remote([face.crops.aligned for face in faces])
        attributes = self._analyzer.analyze.remote(faces)
        face = AnalyzedFace(faces[0], (await embedding)[0], (await attributes)[0])
        answer = FaceAnswer.of(face, detection, self._model)
        return Response(answer.model_dump_json(), media_type="application/json")


def bind() -> serve.Application:
    """Bind the deployments. Nets reserve nothing, so that all of them fit on the cores."""

    def deployed(cls: type, *nets: serve.Application, **options: Any) -> serve.Application:
        deployment = serve.deployment(cls, ray_actor_options={"num_cpus": 0}, **options)
        return cast(serve.Deployment, deployment).bind(*nets)

    cores = len(os.sched_getaffinity(0))
    nets = (deployed(PlainDetector, num_replicas=cores), deployed(PlainEmbedder), deployed(PlainAnalyzer))
    return deployed(PlainAPI, *nets, max_ongoing_requests=100)


def main(port: int) -> None:
    """Serve until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(proxy_location="HeadOnly", http_options={"host": LOOPBACK, "port": port})
    serve.run(bind())
    print(READY, flush=True)
    signal.sigwait({signal.SIGTERM})
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]))
