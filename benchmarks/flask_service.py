"""Baseline: the service as it was first planned, for measuring only.

One threaded Flask process; onnxruntime sessions with default options and two threads, shared by all
request threads; pictures decoded at full size with OpenCV. The analysis is Semblance's, and so are the
nets, with the detector as it was published: the float net on its whole canvas. With `--shared-detector` it
gets Semblance's faster pair of detectors too, so that what is left is the difference of architecture.

    python -m benchmarks.flask_service PORT [--shared-detector]
"""

from __future__ import annotations

import logging
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import onnxruntime
from flask import Flask, Response, jsonify, request

from deployments.faces.pipeline import LocalPipeline
from deployments.packs.manifest import DetectRole, read_manifest
from deployments.packs.open_pack import SsdDetector
from deployments.packs.pack import OPEN_FOLDER
from deployments.vision.decode import ImageHeader, OpenPhoto, Photo, read_header
from semblance.settings import get_settings
from semblance.types import Image
from serve_app.schemas.compute import FaceAnswer

InferenceSession = onnxruntime.InferenceSession


def default_session(path: Path, **options: Any) -> onnxruntime.InferenceSession:
    """A session with default options and two threads. Compressed weights are still folded once at load,
    as any float32 file would be: leaving that out would only handicap the baseline."""
    defaults = onnxruntime.SessionOptions()
    defaults.intra_op_num_threads = 2
    defaults.add_session_config_entry("session.disable_quant_qdq", "1")
    return InferenceSession(path, defaults, providers=options["providers"])


class FullDecoder:
    """Decodes at full size, even if a smaller size would do."""

    def open(self, data: bytes) -> AbstractContextManager[Photo]:
        """See Decoder."""
        header = read_header(data, max_bytes=len(data), max_pixels=get_settings().max_image_pixels)
        return nullcontext(FullPicture(data, header))


class FullPicture(OpenPhoto):
    """A picture that is there at full size at once."""

    def __init__(self, data: bytes, header: ImageHeader) -> None:
        super().__init__(data, header)
        self._full = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)

    def whole(self, long_side: int) -> tuple[Image, float]:
        """All of it."""
        return self._full, 1.0


def published(role: DetectRole) -> DetectRole:
    """The detector's role without what Semblance added to it."""
    return role.model_copy(update={"trim": None, "screen": None})


def create_app(*, shared_detector: bool) -> Flask:
    """The planned service: one route, everything in the request's thread."""
    with (
        patch.object(onnxruntime, "InferenceSession", default_session),
        patch.object(cv2, "setNumThreads"),
    ):
        pipeline = LocalPipeline(get_settings(), FullDecoder())
        if not shared_detector:
            role = published(read_manifest(OPEN_FOLDER).roles.detect)
            pipeline.finder.net = SsdDetector(OPEN_FOLDER, role, get_settings())
    app = Flask("planned-service")

    @app.post("/analyze-face-advanced")
    def analyze() -> Response | tuple[Response, int]:
        detection, faces = pipeline.analyze_photo(request.files["file"].read(), 1)
        if not faces:
            return jsonify({"face_detected": False, "error": "No face detected in image"}), 400
        return jsonify(FaceAnswer.of(faces[0], detection, pipeline.model).model_dump())

    return app


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    create_app(shared_detector="--shared-detector" in sys.argv).run(
        host="127.0.0.1", port=int(sys.argv[1]), threaded=True
    )
