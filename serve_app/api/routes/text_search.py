"""Who at my school plays the violin? What did we say about Saturday?"""

from __future__ import annotations

import logging
from typing import Annotated

from fastapi import Depends, Query

from db.text_embeddings import TextVector
from db.text_search import MOST_FOUND
from semblance.errors import ForbiddenError, SemblanceError
from semblance.metrics import SEARCH_SECONDS
from semblance.tracing import span
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks, count_search
from serve_app.api.responses import errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.schemas.messages import MessageAnswer
from serve_app.schemas.patterns import VISIBLE
from serve_app.schemas.text_search import FoundPerson, MessageSearchAnswer, ProfileSearchAnswer

logger = logging.getLogger(__name__)

router = Topic(prefix="/search", tags=["account"])


Asked = Annotated[
    str,
    Query(
        min_length=1,
        max_length=200,
        pattern=VISIBLE,
        description="What is looked for. By words, those in quotation marks must follow each other, and a "
        "word after a minus sign must not be there.",
        examples=["somebody to make music with"],
    ),
]


@router.get("/profiles", responses=errors(401, 403, 409))
async def search_profiles(
    *,
    user: CurrentUser,
    _: Annotated[None, Depends(count_search)],
    services: Injected,
    links: InjectedLinks,
    q: Asked,
    limit: Annotated[int, Query(ge=1, le=MOST_FOUND, description="The maximum number of people.")] = 20,
) -> ProfileSearchAnswer:
    """People of the user's school whose bios fit best to `q`, by meaning and by words. Only those are found
    who have written a bio, and nobody with whom a connection is blocked.

    403 unless an administrator has switched the search on (`profile_search`); 429 after 30 searches in a
    minute."""
    if not await services.db.text_search.people_wanted():
        raise ForbiddenError("People can only be searched where an administrator has switched it on.")
    with span("search profiles"), SEARCH_SECONDS.timed(kind="profiles"):
        vector = await _vector(services, q)
        people = await services.db.text_search.people(q, vector, by=user.id, limit=limit)
    return ProfileSearchAnswer(
        people=[FoundPerson.of(person, links) for person in people], by_meaning=vector is not None
    )


@router.get("/messages", responses=errors(401, 409))
async def search_messages(
    *,
    user: CurrentUser,
    _: Annotated[None, Depends(count_search)],
    services: Injected,
    links: InjectedLinks,
    q: Asked,
    limit: Annotated[int, Query(ge=1, le=MOST_FOUND, description="The maximum number of messages.")] = 20,
) -> MessageSearchAnswer:
    """Messages of the user's own chats that fit best to `q`, without pictures. By words, all of them are
    found. By meaning, only those of active chats in which both users have switched it on (`message_search`
    of `PATCH /api/auth/me`), where an administrator has, too.

    429 after 30 searches in a minute, those of people included."""
    with span("search messages"), SEARCH_SECONDS.timed(kind="messages"):
        wanted = await services.db.text_search.meaning_wanted(user.id)
        vector = await _vector(services, q) if wanted else None
        found = await services.db.text_search.messages(q, vector, by=user.id, limit=limit)
    return MessageSearchAnswer(
        messages=[MessageAnswer.of(message, user.id, links) for message in found],
        by_meaning=vector is not None,
    )


async def _vector(services: Services, q: str) -> TextVector | None:
    try:
        return await services.writer.vector(q)
    except SemblanceError as exc:
        # Words are better than nothing. The message may say what was asked.
        logger.warning("a search goes by words only (%s)", exc.code)
        return None
