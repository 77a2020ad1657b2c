"""Values that travel between packages: immutable, picklable, with units stated.

Coordinates are pixels of the upright image, that is the image after its EXIF orientation has been
applied, x to the right and y down, the centre of the top-left pixel at (0, 0). Images are RGB,
uint8, HxWx3, C-contiguous. Scores lie in 0..1 unless a field says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""RGB, uint8, [height, width, 3]."""

Landmarks: TypeAlias = NDArray[np.float32]
"""The 68 points of iBUG 300-W in its order, float32, [68, 2], pixels."""

Embedding: TypeAlias = NDArray[np.float32]
"""Unit length, float32, [512]. A net of fewer dimensions is padded with zeros, which keeps cosines."""

EMBEDDING_SIZE = 512

Gender = Literal["male", "female"]
Emotion = Literal["happy", "neutral", "sad", "angry", "surprise", "fear", "disgust"]
EMOTIONS: tuple[Emotion, ...] = (
    "happy",
    "neutral",
    "sad",
    "angry",
    "surprise",
    "fear",
    "disgust",
)


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned rectangle in pixels, x1 < x2 and y1 < y2; it may reach outside the image."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Pose:
    """Head pose in degrees, each -180..180: yaw positive when the face turns to the right side of
    the image, pitch positive when it looks up, roll positive when the head tilts clockwise as seen
    in the image."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class FaceCrops:
    """The small images that the nets after the detector need, so that no full frame travels on.

    aligned: RGB uint8 [A, A, 3], the embedding net's similarity warp, cut from the original pixels.
    portrait: RGB uint8 [112, 112, 3], the landmarks' box grown by 20 % and squared; also the image
        in which skin, sharpness and light are measured.
    portrait_landmarks: float32 [68, 2], the landmarks in portrait pixels.
    attribute: RGB uint8 [S, S, 3] if the pack's age and gender net takes another crop than the portrait,
        else None.
    """

    aligned: Image
    portrait: Image
    portrait_landmarks: Landmarks
    attribute: Image | None = None


@dataclass(frozen=True, slots=True)
class DetectedFace:
    """One face of a photo. pose is set by packs whose landmarks are three-dimensional, else None."""

    bbox: Box
    confidence: float
    landmarks: Landmarks
    crops: FaceCrops
    pose: Pose | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """Faces of one photo, largest first, and the upright image's size in pixels.

    found: how many faces the photo has, even if the caller asked for the largest only. At least so many if it
    did not ask for their number.
    """

    width: int
    height: int
    faces: tuple[DetectedFace, ...]
    found: int


LightFault = Literal["too_dark", "too_bright", "low_contrast", "uneven_light", "harsh_light"]
Advice = LightFault | Literal["blurred", "too_small", "turned_away", "cut_off"]
"""What is wrong with a photo of a face, for an app to tell its user how to take a better one."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Fitness of a face for matching, each 0..1, higher is better.

    light_fault: what lowers `illumination` most; None if that is high enough.
    """

    blur_score: float
    illumination: float
    overall: float
    light_fault: LightFault | None = None


@dataclass(frozen=True, slots=True)
class SkinTone:
    """Dominant skin colour: CIELAB (D65, L 0..100, a and b about ±128) and the same as #rrggbb sRGB."""

    lab: tuple[float, float, float]
    hex: str


@dataclass(frozen=True, slots=True)
class Expression:
    """dominant is the emotion of the largest probability, confidence that probability; emotions sum to 1."""

    dominant: Emotion
    confidence: float
    emotions: dict[Emotion, float]


@dataclass(frozen=True, slots=True)
class Geometry:
    """Four ratios of a face, dimensionless, measured in the face's own upright frame."""

    face_width_height_ratio: float
    eye_spacing_face_width: float
    jawline_width_face_width: float
    nose_width_face_width: float


@dataclass(frozen=True, slots=True)
class FaceAttributes:
    """What the analyzer says of one face; age in years."""

    age: float
    gender: Gender
    pose: Pose
    quality: Quality
    symmetry_score: float
    skin_tone: SkinTone
    expression: Expression
    geometry: Geometry


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model pack that produced a result: its name and the hex SHA-256 over its whole content."""

    pack: str
    digest: str


@dataclass(frozen=True, slots=True)
class AnalyzedFace:
    """A face with its place, embedding and attributes."""

    detected: DetectedFace
    embedding: Embedding
    attributes: FaceAttributes


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The result of one attempt at a job of a queue.

    status: the job's status now, or "lost" if its worker could not hold it and another one will do it. The
    counts are None for kinds of matches that were not searched. error: why the attempt failed, or what a
    completed job left out.
    """

    job_id: UUID
    status: Literal["pending", "completed", "failed", "lost"]
    user_matches: int | None = None
    celebrity_matches: int | None = None
    error: str | None = None
