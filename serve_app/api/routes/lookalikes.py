"""The question the service exists for: who looks like this face?"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query

from deployments.packs.calibration import SimilarityScale
from semblance.errors import NoFaceError
from semblance.types import Gender
from serve_app.api.dependencies import Injected, InjectedLinks, Photo
from serve_app.api.photos import PHOTO_BODY
from serve_app.api.responses import COMPUTE_ERRORS, errors
from serve_app.links import Links
from serve_app.lookalikes import Lookalike, LookalikeTerms, find_lookalikes
from serve_app.schemas.admin_settings import WeightsBody
from serve_app.schemas.compute import (
    CelebrityMatch,
    FaceAnswer,
    FaceLookalikes,
    ImageSize,
    LookalikesAnswer,
    alignment_points,
)
from serve_app.schemas.matches import FactorScores
from serve_app.schemas.patterns import STORABLE
from serve_app.schemas.rarity import Rarity

router = APIRouter(tags=["face compute"])

MOST_SEARCHED: Final = 16
"""Faces of one photo, largest first, whose lookalikes one request searches for. Each takes a search of the
gallery, one after the other."""


@router.post("/lookalikes", responses={**COMPUTE_ERRORS, **errors(409)}, openapi_extra=PHOTO_BODY)
async def lookalikes(
    *,
    photo: Photo,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100, description="The maximum number of matches of a face.")] = 10,
    category: Annotated[str | None, Query(max_length=200, pattern=STORABLE, examples=["actors"])] = None,
    gender: Gender | None = None,
    faces: Annotated[
        Literal["largest", "all"],
        Query(description=f"Whose lookalikes: the largest face's, or those of the {MOST_SEARCHED} largest."),
    ] = "largest",
) -> LookalikesAnswer:
    """The largest face and the celebrities most similar to it, with the six factors of a match and their
    weights. Filters never shorten the list while enough celebrities pass them."""
    detection, analyzed = await services.faces.analyze_photo(
        photo, 1 if faces == "largest" else MOST_SEARCHED
    )
    if not analyzed:
        raise NoFaceError
    terms = LookalikeTerms(services.model.digest, limit, category, gender)
    weights = (await services.db.system_settings.get()).matching_weights
    found = [
        FaceLookalikes(
            face=FaceAnswer.of(face, detection, services.model),
            matches=[
                _match(each, links, services.scale)
                for each in await find_lookalikes(services.search, face, terms, weights)
            ],
        )
        for face in analyzed
    ]
    return LookalikesAnswer(
        face=found[0].face,
        matches=found[0].matches,
        others=found[1:],
        faces_found=detection.found,
        image=ImageSize(width=detection.width, height=detection.height),
        weights=WeightsBody(**weights.as_dict()),
    )


def _match(found: Lookalike, links: Links, scale: SimilarityScale) -> CelebrityMatch:
    hit = found.hit
    urls = links.renditions(hit.image_path, "celebrities")
    return CelebrityMatch(
        celebrity_id=hit.celebrity_id,
        person_id=hit.person_id,
        name=hit.name,
        category=hit.category,
        gender=hit.gender,
        similarity=round(min(1.0, max(-1.0, hit.similarity)), 4),
        # The search compares only embeddings of the pack in use.
        rarity=Rarity.of(scale, hit.similarity, scale.digest),
        similarity_score=round(found.score, 4),
        factors=FactorScores(**{name: round(value, 4) for name, value in found.factors.items()}),
        alignment_points=None if hit.landmarks is None else alignment_points(hit.landmarks),
        image_url=urls.full,
        feed_url=urls.feed,
        thumbnail_url=urls.thumbnail,
    )
