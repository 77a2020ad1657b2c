"""Who at my school plays the violin? For users, where an admin has switched it on."""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Depends, Query

from db.bios import MOST_FOUND, TextVector
from semblance.errors import ForbiddenError, SemblanceError
from semblance.metrics import SEARCH_SECONDS
from semblance.tracing import span
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks, count_search
from serve_app.api.responses import errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.schemas.patterns import VISIBLE
from serve_app.schemas.profile_search import FoundPerson, ProfileSearchAnswer

logger = logging.getLogger(__name__)

router = Topic(prefix="/search", tags=["account"])


@router.get("/profiles", responses=errors(401, 403, 409))
async def search_profiles(
    *,
    user: CurrentUser,
    _: Annotated[None, Depends(count_search)],
    services: Injected,
    links: InjectedLinks,
    q: Annotated[
        str,
        Query(
            min_length=1,
            max_length=200,
            pattern=VISIBLE,
            description="What the people are looked for by. Words in quotation marks must follow each other, "
            "and a word after a minus sign must not be there, if people are found by words.",
            examples=["somebody to make music with"],
        ),
    ],
    limit: Annotated[int, Query(ge=1, le=MOST_FOUND, description="The maximum number of people.")] = 20,
) -> ProfileSearchAnswer:
    """People of the user's school whose bios fit best to `q`, by meaning and by words. Only those are found
    who have written a bio, and nobody with whom a connection is blocked.

    403 unless an administrator has switched the search on (`profile_search`); 429 after 30 searches in a
    minute."""
    if not await services.db.bios.searched():
        raise ForbiddenError("People can only be searched where an administrator has switched it on.")
    with span("search profiles"), SEARCH_SECONDS.timed(kind="profiles"):
        vector = await _vector(services, q)
        people = await services.db.bios.find(q, vector, by=user.id, limit=limit)
    return ProfileSearchAnswer(
        people=[FoundPerson.of(person, links) for person in people], by_meaning=vector is not None
    )


async def _vector(services: Services, q: str) -> TextVector | None:
    try:
        return await services.writer.vector(q)
    except SemblanceError as exc:
        # Words are better than nothing. The message may say what was asked.
        logger.warning("people are searched by words only (%s)", exc.code)
        return None
