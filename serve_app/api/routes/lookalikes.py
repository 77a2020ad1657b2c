"""The question the service exists for: who looks like this face?"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from db.celebrities import CelebrityHit
from deployments.packs.calibration import SimilarityScale
from semblance.errors import NoFaceError
from semblance.types import Gender
from serve_app.api.dependencies import Injected, InjectedLinks, Photo
from serve_app.api.photos import PHOTO_BODY
from serve_app.api.responses import COMPUTE_ERRORS, errors
from serve_app.links import Links
from serve_app.schemas.compute import CelebrityMatch, FaceAnswer, LookalikesAnswer
from serve_app.schemas.patterns import STORABLE
from serve_app.schemas.rarity import Rarity

router = APIRouter(tags=["face compute"])


@router.post("/lookalikes", responses={**COMPUTE_ERRORS, **errors(409)}, openapi_extra=PHOTO_BODY)
async def lookalikes(
    *,
    photo: Photo,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100, description="The maximum number of matches.")] = 10,
    category: Annotated[str | None, Query(max_length=200, pattern=STORABLE, examples=["actors"])] = None,
    gender: Gender | None = None,
) -> LookalikesAnswer:
    """The largest face and the celebrities most similar to it. Filters never shorten the list while enough
    celebrities pass them."""
    _, faces = await services.faces.analyze_photo(photo, 1)
    if not faces:
        raise NoFaceError
    hits = await services.db.celebrities.nearest(
        faces[0].embedding,
        pack_digest=services.model.digest,
        limit=limit,
        category=category,
        gender=gender,
    )
    return LookalikesAnswer(
        face=FaceAnswer.of(faces[0], services.model),
        matches=[_match(hit, links, services.scale) for hit in hits],
    )


def _match(hit: CelebrityHit, links: Links, scale: SimilarityScale) -> CelebrityMatch:
    return CelebrityMatch(
        celebrity_id=hit.celebrity_id,
        name=hit.name,
        category=hit.category,
        gender=hit.gender,
        similarity=round(min(1.0, max(-1.0, hit.similarity)), 4),
        # The search compares only embeddings of the pack in use.
        rarity=Rarity.of(scale, hit.similarity, scale.digest),
        image_url=links.picture(hit.image_path, "celebrities"),
        feed_url=links.feed(hit.image_path, "celebrities"),
        thumbnail_url=links.thumbnail(hit.image_path, "celebrities"),
    )
