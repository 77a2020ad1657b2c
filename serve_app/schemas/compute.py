"""Faces, as the face-compute endpoints answer them."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import numpy as np
from pydantic import BaseModel, Field

from deployments.vision.advice import advice
from deployments.vision.align import five_points
from semblance.types import Advice, AnalyzedFace, Detection, Emotion, Gender, Landmarks, ModelInfo
from serve_app.schemas.admin_settings import WeightsBody
from serve_app.schemas.base import FeedUrl, Schema, Score, ThumbnailUrl
from serve_app.schemas.matches import FactorScores
from serve_app.schemas.rarity import Rarity

Point = tuple[float, float]
AlignmentPoints = tuple[Point, Point, Point, Point, Point]


class Model(Schema):
    pack: str = Field(examples=["open"])
    digest: str = Field(
        description="SHA-256 of the pack; embeddings of different digests are never compared."
    )

    @classmethod
    def of(cls, info: ModelInfo) -> Model:
        return cls(pack=info.pack, digest=info.digest)


class EmbeddingAnswer(Schema):
    face_detected: Literal[True] = True
    embedding: list[float] = Field(description="Unit length.", min_length=512, max_length=512)
    bbox: tuple[float, float, float, float] = Field(description="[x, y, width, height] in pixels.")
    confidence: Score
    model: Model


class CompareRequest(BaseModel):
    embedding_a: list[float] = Field(min_length=1, max_length=4096, examples=[[0.6, 0.8]])
    embedding_b: list[float] = Field(min_length=1, max_length=4096, examples=[[0.8, 0.6]])


class CompareAnswer(Schema):
    similarity: float = Field(ge=-1, le=1, description="Cosine of the two embeddings.", examples=[0.96])
    distance: float = Field(ge=0, le=2, description="1 - similarity.", examples=[0.04])


class PoseAnswer(Schema):
    """In degrees: yaw is positive towards the right of the image, pitch upwards, roll clockwise."""

    yaw: float
    pitch: float
    roll: float


class QualityAnswer(Schema):
    blur_score: Score
    illumination: Score
    overall: Score
    advice: list[Advice] = Field(
        description="What to do better in the next photo, what matters most first: the face is cut off by "
        "the edge of the picture, too small in it, too dark, too bright, of low contrast, lit from one side "
        "or harshly, blurred, or turned away. Empty if nothing is wrong.",
        examples=[["too_dark"]],
    )


class SkinToneAnswer(Schema):
    dominant_color_lab: tuple[float, float, float] = Field(description="CIELAB: L 0..100, a, b ±128.")
    hex: str = Field(pattern="^#[0-9a-f]{6}$", examples=["#c99a82"])


class ExpressionAnswer(Schema):
    dominant: Emotion
    confidence: Score
    emotions: dict[Emotion, Score]


class GeometryAnswer(Schema):
    face_width_height_ratio: float
    eye_spacing_face_width: float
    jawline_width_face_width: float
    nose_width_face_width: float


class FaceAnswer(Schema):
    """All attributes of a face. Boxes and landmarks are in pixels of the upright (EXIF-rotated) image."""

    face_detected: Literal[True] = True
    embedding: list[float] = Field(description="Unit length.", min_length=512, max_length=512)
    bbox: tuple[float, float, float, float] = Field(description="[x1, y1, x2, y2] in pixels.")
    confidence: Score
    age: int = Field(description="Years.", ge=0)
    gender: Gender
    landmarks_68: list[Point] = Field(min_length=68, max_length=68)
    pose: PoseAnswer
    quality: QualityAnswer
    symmetry_score: Score
    skin_tone: SkinToneAnswer
    expression: ExpressionAnswer
    geometry: GeometryAnswer
    model: Model

    @classmethod
    def of(cls, face: AnalyzedFace, photo: Detection, model: ModelInfo) -> FaceAnswer:
        detected, traits = face.detected, face.attributes
        box = detected.bbox
        return cls(
            embedding=embedding_list(face.embedding),
            bbox=(_px(box.x1), _px(box.y1), _px(box.x2), _px(box.y2)),
            confidence=_ratio(detected.confidence),
            age=max(0, round(traits.age)),
            gender=traits.gender,
            landmarks_68=np.round(detected.landmarks.astype(np.float64), 2).tolist(),
            pose=PoseAnswer(
                yaw=_px(traits.pose.yaw), pitch=_px(traits.pose.pitch), roll=_px(traits.pose.roll)
            ),
            quality=QualityAnswer(
                blur_score=_ratio(traits.quality.blur_score),
                illumination=_ratio(traits.quality.illumination),
                overall=_ratio(traits.quality.overall),
                advice=advice(face, photo.width, photo.height),
            ),
            symmetry_score=_ratio(traits.symmetry_score),
            skin_tone=SkinToneAnswer(
                dominant_color_lab=(
                    _px(traits.skin_tone.lab[0]),
                    _px(traits.skin_tone.lab[1]),
                    _px(traits.skin_tone.lab[2]),
                ),
                hex=traits.skin_tone.hex,
            ),
            expression=ExpressionAnswer(
                dominant=traits.expression.dominant,
                confidence=_ratio(traits.expression.confidence),
                emotions={name: _ratio(value) for name, value in traits.expression.emotions.items()},
            ),
            geometry=GeometryAnswer(
                face_width_height_ratio=_ratio(traits.geometry.face_width_height_ratio),
                eye_spacing_face_width=_ratio(traits.geometry.eye_spacing_face_width),
                jawline_width_face_width=_ratio(traits.geometry.jawline_width_face_width),
                nose_width_face_width=_ratio(traits.geometry.nose_width_face_width),
            ),
            model=Model.of(model),
        )


class ImageSize(Schema):
    width: int = Field(gt=0)
    height: int = Field(gt=0)


class FacesAnswer(Schema):
    faces: list[FaceAnswer] = Field(description="Largest first; empty if the photo shows no face.")
    image: ImageSize


class PhotoError(Schema):
    """Why nothing is said about one photo of several."""

    error: str = Field(description="A sentence for people.", examples=["The photo is empty."])
    code: str = Field(description="For programs to branch on.", examples=["unreadable_image"])


class PhotoResult(Schema):
    """One photo of several: either faces and image, or an error."""

    faces: list[FaceAnswer] | None = Field(
        description="Largest first; empty if the photo shows no face. Null with an error."
    )
    image: ImageSize | None = Field(description="Null with an error.")
    error: PhotoError | None


class PhotosAnswer(Schema):
    results: list[PhotoResult] = Field(description="One for each photo, in the order of the request.")


class CelebrityMatch(Schema):
    celebrity_id: UUID = Field(description="The photo of the person that is most similar.")
    person_id: UUID
    name: str
    category: str | None
    gender: Gender | None = Field(description="As stated, otherwise as estimated from the picture.")
    similarity: float = Field(ge=-1, le=1, description="Cosine of the two embeddings.")
    rarity: Rarity | None = Field(description="Null if the pack has no calibration.")
    similarity_score: Score = Field(
        description="The score of a saved match of the two faces: the sum of the factors by `weights`.",
        examples=[0.875],
    )
    factors: FactorScores
    alignment_points: AlignmentPoints | None = Field(
        description="Both eyes, the tip of the nose and both corners of the mouth, from left to right, in "
        "pixels of the picture at `image_url`: what lays the face over another. Null if they are not known."
    )
    image_url: str = Field(description="Signed URL that expires.")
    feed_url: FeedUrl
    thumbnail_url: ThumbnailUrl


class FaceLookalikes(Schema):
    face: FaceAnswer
    matches: list[CelebrityMatch] = Field(description="Most similar first.")


class LookalikesAnswer(FaceLookalikes):
    """The largest face of the photo."""

    others: list[FaceLookalikes] = Field(
        description="With `faces=all` the other faces, largest first; otherwise empty."
    )
    faces_found: int = Field(ge=1, description="How many faces the photo has.", examples=[1])
    image: ImageSize
    weights: WeightsBody


def alignment_points(landmarks: Landmarks) -> AlignmentPoints:
    """The five points by which faces are aligned, rounded."""
    eye, other_eye, nose, mouth, other_mouth = ((_px(x), _px(y)) for x, y in five_points(landmarks).tolist())
    return eye, other_eye, nose, mouth, other_mouth


def embedding_list(vector: np.ndarray) -> list[float]:
    """The vector with seven decimals: float32 has no more for components of a unit vector, and the body is
    half as long."""
    rounded: list[float] = np.round(vector.astype(np.float64), 7).tolist()
    return rounded


def _px(value: float) -> float:
    return round(float(value), 2)


def _ratio(value: float) -> float:
    return round(float(value), 4)
