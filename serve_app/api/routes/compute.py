"""Face compute: embed, compare, analyze."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Annotated, TypeAlias

import numpy as np
from fastapi import APIRouter, Query, Response

from semblance.errors import BadInputError, NoFaceError, SemblanceError
from serve_app.api.dependencies import Injected, Photo, PhotoBatch, Photos
from serve_app.api.errors import status_of
from serve_app.api.photos import BATCH_BODY, PHOTO_BODY, TWO_PHOTOS_BODY, check_size
from serve_app.api.responses import BODY, COMPUTE_ERRORS, errors
from serve_app.api.services import Services
from serve_app.schemas.comparison import ComparedFace, ComparisonAnswer, DecisionAnswer
from serve_app.schemas.compute import (
    CompareAnswer,
    CompareRequest,
    EmbeddingAnswer,
    FaceAnswer,
    FacesAnswer,
    ImageSize,
    Model,
    PhotoError,
    PhotoResult,
    PhotosAnswer,
    embedding_list,
)
from serve_app.schemas.rarity import Rarity

router = APIRouter(tags=["face compute"])

MAX_FACES = 64


@router.post("/extract-embedding", responses=COMPUTE_ERRORS, openapi_extra=PHOTO_BODY)
async def extract_embedding(photo: Photo, services: Injected) -> EmbeddingAnswer:
    """The embedding of the largest face."""
    detection = await services.faces.detect(photo, 1, counted=False)
    if not detection.faces:
        raise NoFaceError
    face = detection.faces[0]
    vectors = await services.faces.embed([face.crops.aligned])
    box = face.bbox
    return EmbeddingAnswer(
        embedding=embedding_list(vectors[0]),
        bbox=(round(box.x1, 2), round(box.y1, 2), round(box.width, 2), round(box.height, 2)),
        confidence=round(face.confidence, 4),
        model=Model.of(services.model),
    )


@router.post("/compare-faces", responses=errors(400, 401, *BODY, 422))
async def compare_faces(request: CompareRequest) -> CompareAnswer:
    """Cosine similarity of two embeddings; 400 unless both are finite, not zero and of the same length."""
    a, b = np.array(request.embedding_a), np.array(request.embedding_b)
    if a.shape != b.shape:
        raise BadInputError(f"The embeddings differ in length: {a.size} and {b.size}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise BadInputError("The embeddings contain values that are not finite numbers.")
    # Scaled before the norm, so that very large or small components neither overflow nor vanish.
    scale_a, scale_b = np.abs(a).max(), np.abs(b).max()
    if scale_a == 0 or scale_b == 0:
        raise BadInputError("An embedding of length zero has no direction to compare.")
    a, b = a / scale_a, b / scale_b
    similarity = float(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))
    return CompareAnswer(similarity=similarity, distance=1 - similarity)


@router.post("/compare-photos", responses=COMPUTE_ERRORS, openapi_extra=TWO_PHOTOS_BODY)
async def compare_photos(
    photos: Photos,
    services: Injected,
    false_match_rate: Annotated[
        float | None,
        Query(
            gt=0,
            lt=1,
            allow_inf_nan=False,
            description="The largest share of strangers that may be taken for the same person: 0.1, 0.01, "
            "0.001, as low as the pack's calibration supports; 400 below that. Default: decide by the pack's "
            "own threshold.",
            examples=[0.1],
        ),
    ] = None,
) -> ComparisonAnswer:
    """How alike the largest faces of two photos are, what that means, and whether they count as the same
    person. It does not identify anybody: a calibration is valid for people like those it was measured on, and
    says little about twins, masks, or photos held up to the camera."""
    # A rate that cannot be promised is refused before any work.
    services.scale.decide(0, false_match_rate)
    # One after the other: a request has one slot, and works on one photo at a time.
    found = []
    for photo, name in zip(photos, ("first", "second"), strict=True):
        detection = await services.faces.detect(photo, 1)
        if not detection.faces:
            raise NoFaceError(f"No face detected in the {name} image")
        found.append(detection)
    a, b = await services.faces.embed([detection.faces[0].crops.aligned for detection in found])
    similarity = float(np.clip(a @ b, -1, 1))
    probability = services.scale.probability(similarity)
    face_a, face_b = map(ComparedFace.of, found)
    return ComparisonAnswer(
        similarity=round(similarity, 4),
        rarity=Rarity.of(services.scale, similarity, services.model.digest),
        # Never rounded to 0 or 1: it stays 1 / (people + 2) away from both.
        probability=None if probability is None else round(probability, 6),
        decision=DecisionAnswer.of(services.scale.decide(similarity, false_match_rate)),
        face_a=face_a,
        face_b=face_b,
        model=Model.of(services.model),
    )


@router.post(
    "/render-photo",
    response_class=Response,
    responses={**COMPUTE_ERRORS, 200: {"content": {"image/jpeg": {}}}},
    openapi_extra=PHOTO_BODY,
)
async def render_photo(photo: Photo, services: Injected) -> Response:
    """The photo as a JPEG that every browser shows: upright, with a long side of at most 1080 pixels, and
    nothing of the file but its pixels. For formats that a browser does not draw, such as HEIC."""
    picture = await services.faces.render(photo)
    return Response(picture.feed, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


@router.post("/analyze-face-advanced", responses=COMPUTE_ERRORS, openapi_extra=PHOTO_BODY)
async def analyze_face_advanced(photo: Photo, services: Injected) -> FaceAnswer:
    """The largest face in full."""
    detection, faces = await services.faces.analyze_photo(photo, 1, counted=False)
    if not faces:
        raise NoFaceError
    return FaceAnswer.of(faces[0], detection, services.model)


MaxFaces: TypeAlias = Annotated[
    int, Query(ge=1, le=MAX_FACES, description="The maximum number of faces of a photo.")
]


@router.post("/analyze-faces", responses=COMPUTE_ERRORS, openapi_extra=PHOTO_BODY)
async def analyze_faces(photo: Photo, services: Injected, max_faces: MaxFaces = MAX_FACES) -> FacesAnswer:
    """All faces in full, largest first; an empty list for a photo without faces."""
    return await _faces(photo, services, max_faces)


@router.post("/analyze-faces/batch", responses=COMPUTE_ERRORS, openapi_extra=BATCH_BODY)
async def analyze_faces_of_several(
    photos: PhotoBatch, services: Injected, max_faces: MaxFaces = MAX_FACES
) -> PhotosAnswer:
    """All faces of several photos, at most SEMBLANCE_MAX_BATCH_PHOTOS: for each photo its faces, or what is
    wrong with it. Together the photos may be as large as one. A failure of the service fails the whole
    call."""

    async def result(photo: bytes) -> PhotoResult:
        try:
            check_size(photo, services.settings.max_image_bytes)
            found = await _faces(photo, services, max_faces)
        except SemblanceError as exc:
            if status_of(exc) >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise
            return PhotoResult(faces=None, image=None, error=PhotoError(error=exc.answer, code=exc.code))
        return PhotoResult(faces=found.faces, image=found.image, error=None)

    # All of them are waited for, also after a failure: each holds a slot until it ends.
    results = await asyncio.gather(*map(result, photos), return_exceptions=True)
    return PhotosAnswer(results=[_or_raise(each) for each in results])


async def _faces(photo: bytes, services: Services, max_faces: int) -> FacesAnswer:
    detection, faces = await services.faces.analyze_photo(photo, max_faces)
    return FacesAnswer(
        faces=[FaceAnswer.of(face, detection, services.model) for face in faces],
        image=ImageSize(width=detection.width, height=detection.height),
    )


def _or_raise(result: PhotoResult | BaseException) -> PhotoResult:
    if isinstance(result, BaseException):
        raise result
    return result
