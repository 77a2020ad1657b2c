"""Who among the users looks like this face? For admins, and keys made for it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from db.profiles import StatedGender
from semblance.errors import NoFaceError
from semblance.logging import request_id_var
from serve_app.api.dependencies import CurrentSearcher, Injected, InjectedLinks, Photo
from serve_app.api.photos import PHOTO_BODY
from serve_app.api.responses import COMPUTE_ERRORS, errors
from serve_app.schemas.compute import FaceAnswer
from serve_app.schemas.face_search import FaceMatch, FaceSearchAnswer
from serve_app.schemas.patterns import STORABLE

router = APIRouter(tags=["face search"])


@router.post("/search/faces", responses={**COMPUTE_ERRORS, **errors(403, 409)}, openapi_extra=PHOTO_BODY)
async def search_faces(
    *,
    # First, so that nothing is received from whoever may not search.
    searcher: CurrentSearcher,
    photo: Photo,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100, description="At most this many matches.")] = 10,
    school: Annotated[str | None, Query(max_length=100, pattern=STORABLE, examples=["mit.edu"])] = None,
    gender: Annotated[StatedGender | None, Query(description="As stated by the user.")] = None,
) -> FaceSearchAnswer:
    """The largest face and the users' faces most like it. For admins and API keys of the scope `search`,
    where SEMBLANCE_FACE_SEARCH allows it; every search is recorded, without the photo. Filters never shorten
    the list while enough faces pass them."""
    _, faces = await services.faces.describe(photo, 1)
    if not faces:
        raise NoFaceError
    hits = await services.db.face_searches.nearest(
        faces[0].embedding,
        pack_digest=services.model.digest,
        searcher=searcher,
        request_id=request_id_var.get(),
        limit=limit,
        school=school,
        gender=gender,
    )
    return FaceSearchAnswer(
        face=FaceAnswer.of(faces[0], services.model),
        matches=[FaceMatch.of(hit, links) for hit in hits],
    )
