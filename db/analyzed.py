"""The columns of an analyzed face, which the tables of faces and celebrities share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

from semblance.types import AnalyzedFace, Embedding, Emotion, Landmarks

_OLDEST = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzedRow:
    """The shared columns.

    embedding: float32 [512], unit length, of the pack whose SHA-256 is `pack_digest`.
    age in years, 0..150; scores 0..1; landmarks_68: 68 pairs [x, y] in pixels of the stored picture; pose:
    yaw, pitch, roll in degrees; skin_tone_lab: CIELAB L, a, b.
    """

    embedding: Embedding
    pack_digest: str
    age: int
    quality_score: float
    blur_score: float
    illumination_score: float
    symmetry_score: float
    landmarks_68: list[list[float]]
    pose: dict[str, float]
    geometry_ratios: dict[str, float]
    skin_tone_lab: list[float]
    expression: Emotion
    expression_confidence: float
    emotion_scores: dict[Emotion, float]
    analyzed_at: datetime

    @classmethod
    def of(cls, face: AnalyzedFace, pack_digest: str, *, scale: float = 1.0, **columns: Any) -> Self:
        """The row of a face.

        Args:
            scale: pixels of the stored picture per pixel of the analyzed photo.
            columns: the other columns of the table.
        """
        attributes = face.attributes
        quality, expression = attributes.quality, attributes.expression
        return cls(
            embedding=face.embedding,
            pack_digest=pack_digest,
            age=min(max(round(attributes.age), 0), _OLDEST),
            quality_score=quality.overall,
            blur_score=quality.blur_score,
            illumination_score=quality.illumination,
            symmetry_score=attributes.symmetry_score,
            landmarks_68=rescaled(face.detected.landmarks, scale),
            pose=asdict(attributes.pose),
            geometry_ratios=asdict(attributes.geometry),
            skin_tone_lab=list(attributes.skin_tone.lab),
            expression=expression.dominant,
            expression_confidence=expression.confidence,
            emotion_scores=expression.emotions,
            analyzed_at=datetime.now(UTC),
            **columns,
        )


def rescaled(landmarks: Landmarks, scale: float) -> list[list[float]]:
    """Landmarks, float32 [68, 2], in the same picture scaled by `scale`; pixel centres are whole numbers."""
    points: list[list[float]] = ((landmarks + 0.5) * scale - 0.5).round(2).tolist()
    return points
