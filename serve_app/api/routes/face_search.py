"""Which users look like this face? For admins, and for API keys made for this."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from db.profiles import StatedGender
from semblance.errors import NoFaceError
from semblance.logging import request_id_var
from semblance.metrics import SEARCH_SECONDS
from semblance.tracing import span
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
    # First, so that nothing is received from a client that may not search.
    searcher: CurrentSearcher,
    photo: Photo,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100, description="The maximum number of matches.")] = 10,
    school: Annotated[str | None, Query(max_length=100, pattern=STORABLE, examples=["mit.edu"])] = None,
    gender: Annotated[StatedGender | None, Query(description="As stated by the user.")] = None,
) -> FaceSearchAnswer:
    """The largest face and the users' faces most similar to it. For admins and API keys of the scope
    `search`, if SEMBLANCE_FACE_SEARCH allows it. Every search is recorded, without the photo. Filters never
    shorten the list while enough faces pass them."""
    detection, faces = await services.faces.analyze_photo(photo, 1, counted=False)
    if not faces:
        raise NoFaceError
    with span("search users"), SEARCH_SECONDS.timed(kind="users"):
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
        face=FaceAnswer.of(faces[0], detection, services.model),
        matches=[FaceMatch.of(hit, links, services.scale) for hit in hits],
    )
