"""The answer of a comparison of two photos."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from deployments.packs.calibration import Decision
from semblance.types import Detection
from serve_app.schemas.base import Schema, Score
from serve_app.schemas.compute import AlignmentPoints, ImageSize, Model, alignment_points
from serve_app.schemas.rarity import Rarity


class ComparedFace(Schema):
    """The face of a photo that was compared: the largest."""

    bbox: tuple[float, float, float, float] = Field(description="[x1, y1, x2, y2] in pixels.")
    confidence: Score
    faces_found: int = Field(ge=1, description="How many faces the photo has.", examples=[1])
    alignment_points: AlignmentPoints = Field(
        description="Both eyes, the tip of the nose and both corners of the mouth, from left to right, in "
        "pixels of the upright photo: what lays the face over the other."
    )
    image: ImageSize

    @classmethod
    def of(cls, detection: Detection) -> Self:
        """The largest face; there is one."""
        face = detection.faces[0]
        box = face.bbox
        return cls(
            bbox=(round(box.x1, 2), round(box.y1, 2), round(box.x2, 2), round(box.y2, 2)),
            confidence=round(face.confidence, 4),
            faces_found=detection.found,
            alignment_points=alignment_points(face.landmarks),
            image=ImageSize(width=detection.width, height=detection.height),
        )


class DecisionAnswer(Schema):
    same_person: bool = Field(description="Whether the similarity reaches the threshold.")
    threshold: float = Field(ge=-1, le=1, examples=[0.4263])
    false_match_rate: float | None = Field(
        gt=0,
        lt=1,
        description="At most this share of pairs of strangers reaches the threshold: the upper bound of a "
        "one-sided 95 % interval. Null if it has not been measured.",
        examples=[0.1],
    )

    @classmethod
    def of(cls, decision: Decision) -> Self:
        return cls.model_validate(decision, from_attributes=True)


class ComparisonAnswer(Schema):
    similarity: float = Field(ge=-1, le=1, description="Cosine of the two embeddings.", examples=[0.7851])
    rarity: Rarity | None = Field(description="Null if the pack has no calibration.")
    probability: float | None = Field(
        gt=0,
        lt=1,
        description="Probability that both show the same person, if that was as likely as not before the "
        "comparison. Null if the pack's calibration does not say.",
        examples=[0.6667],
    )
    decision: DecisionAnswer
    face_a: ComparedFace
    face_b: ComparedFace
    model: Model
