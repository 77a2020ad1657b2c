"""Detector, embedder and analyzer joined in one process, without Serve: what batch jobs run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.faces.analysis import FaceAnalyzer
from deployments.faces.decoder import Decoder
from deployments.faces.embedding import FaceEmbedder
from deployments.faces.finder import FaceFinder
from deployments.packs.registry import load_pack
from semblance.errors import ImageTooLargeError, NoFaceError, SemblanceError, UnreadableImageError
from semblance.settings import Settings
from semblance.types import AnalyzedFace, Detection, Embedding, Image, ModelInfo


class LocalPipeline:
    """Analyzes photos with the nets of one pack; each instance holds its own sessions."""

    def __init__(self, settings: Settings, decoder: Decoder | None = None) -> None:
        """decoder: as in FaceFinder; files of unknown origin need a DecoderProcess."""
        pack = self.pack = load_pack(settings)
        self.model: ModelInfo = pack.info
        self.finder = FaceFinder(pack, settings, decoder)
        self._embedder = FaceEmbedder(pack)
        self._analyzer = FaceAnalyzer(pack)

    def analyze_photo(
        self, data: bytes, max_faces: int | None = None, *, counted: bool = True
    ) -> tuple[Detection, list[AnalyzedFace]]:
        """The faces of one encoded photo in full, as `FaceFinder.detect` finds them.

        Raises ImageTooLargeError, UnreadableImageError.
        """
        detection = self.finder.detect(data, max_faces, counted=counted)
        return detection, self._analyze(detection)

    def analyze_photos(
        self, photos: Sequence[bytes], max_faces: int | None = None
    ) -> list[tuple[Detection, list[AnalyzedFace]] | SemblanceError]:
        """As `analyze_photo` for each photo, the nets after the detector batched across photos; a
        photo that cannot be read gives its error in place of a result."""
        detections: list[Detection | SemblanceError] = []
        for data in photos:
            try:
                detections.append(self.finder.detect(data, max_faces))
            except SemblanceError as exc:
                detections.append(exc)
        everything = [face for found in detections if isinstance(found, Detection) for face in found.faces]
        analyzed = iter(self._analyze(Detection(0, 0, tuple(everything), len(everything))))
        return [
            (found, [next(analyzed) for _ in found.faces]) if isinstance(found, Detection) else found
            for found in detections
        ]

    def embed(self, crops: Sequence[Image]) -> NDArray[np.float32]:
        """Aligned crops to unit vectors, float32 [N, 512]."""
        return self._embedder.embed(crops)

    def embed_largest(self, photos: Sequence[bytes]) -> list[Embedding | SemblanceError]:
        """The embedding of the largest face of each photo, the embedding net batched across photos; a photo
        without a face gives NoFaceError in its place, one that cannot be read the error that says why."""
        found: list[Image | SemblanceError] = []
        for data in photos:
            try:
                faces = self.finder.detect(data, 1, counted=False).faces
                found.append(faces[0].crops.aligned if faces else NoFaceError())
            except (ImageTooLargeError, UnreadableImageError) as exc:
                found.append(exc)
        vectors = iter(self.embed([crop for crop in found if not isinstance(crop, SemblanceError)]))
        return [each if isinstance(each, SemblanceError) else next(vectors) for each in found]

    def _analyze(self, detection: Detection) -> list[AnalyzedFace]:
        vectors = self.embed([face.crops.aligned for face in detection.faces])
        attributes = self._analyzer.analyze(detection.faces)
        return [AnalyzedFace(*parts) for parts in zip(detection.faces, vectors, attributes, strict=True)]
