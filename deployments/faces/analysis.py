"""Face crops and landmarks in, attributes out: nets in batches, the rest vectorised NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deployments.packs.nets import ModelPack
from deployments.vision.geometry import face_geometry
from deployments.vision.pose import estimate_pose
from deployments.vision.quality import measure_quality
from deployments.vision.skin import skin_tone
from deployments.vision.symmetry import symmetry_score
from semblance.tracing import span
from semblance.types import EMOTIONS, DetectedFace, Expression, FaceAttributes

MAX_BATCH = 32
"""Most faces in one run of the nets; beyond it a batch gains nothing and memory grows."""


class FaceAnalyzer:
    """Analyzes faces in batches; synchronous, usable without Ray."""

    def __init__(self, pack: ModelPack) -> None:
        self._age_gender = pack.age_gender()
        self._expression = pack.expression()

    def analyze(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        """One FaceAttributes per face, in order; no faces give an empty list."""
        with span("analyze", faces=len(faces)):
            return [
                attributes
                for start in range(0, len(faces), MAX_BATCH)
                for attributes in self._analyze(faces[start : start + MAX_BATCH])
            ]

    def _analyze(self, faces: Sequence[DetectedFace]) -> list[FaceAttributes]:
        portraits = np.stack([face.crops.portrait for face in faces])
        portrait_landmarks = np.stack([face.crops.portrait_landmarks for face in faces])
        landmarks = np.stack([face.landmarks for face in faces])
        own_crops = [face.crops.attribute for face in faces if face.crops.attribute is not None]
        ages, male = self._age_gender.predict(np.stack(own_crops) if own_crops else portraits)
        emotions = self._expression.predict(portraits)
        quality = measure_quality(portraits)
        skin = skin_tone(portraits, portrait_landmarks)
        poses = estimate_pose(landmarks)
        geometry = face_geometry(landmarks)
        symmetry = symmetry_score(landmarks)
        return [
            FaceAttributes(
                age=float(ages[index]),
                gender="male" if male[index] >= 0.5 else "female",
                pose=face.pose or poses[index],
                quality=quality[index],
                symmetry_score=float(symmetry[index]),
                skin_tone=skin[index],
                expression=_expression(emotions[index]),
                geometry=geometry[index],
            )
            for index, face in enumerate(faces)
        ]


def _expression(probabilities: NDArray[np.float32]) -> Expression:
    best = int(np.argmax(probabilities))
    return Expression(
        dominant=EMOTIONS[best],
        confidence=float(probabilities[best]),
        emotions=dict(zip(EMOTIONS, map(float, probabilities), strict=True)),
    )
