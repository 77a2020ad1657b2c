"""Baby pictures of the user's matches."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, status

from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks
from serve_app.api.responses import BODY, QUOTA_ERROR, errors
from serve_app.api.topics import Topic
from serve_app.schemas.babies import BabiesAnswer, BabyAnswer, LatestBabyAnswer, NewBabyRequest
from serve_app.schemas.patterns import explained

router = Topic(prefix="/baby", tags=["babies"])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={**errors(401, 403, 404, 409, *BODY, 502), **QUOTA_ERROR},
)
async def make_baby(
    body: NewBabyRequest,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            pattern=explained(r"^[\x21-\x7e]+$", "should be printable ASCII without blanks"),
            description="Chosen by the client, new for each picture. Within 24 hours the same key gives the "
            "same baby: 409 while it is being made, 422 for another match.",
        ),
    ] = None,
) -> BabyAnswer:
    """Have a baby picture made of one of the user's matches; the other user is notified.

    Once both users of a match have made a baby, they are connected. Failures are not counted: 429 over the
    daily limit, 502 if the provider of pictures is down.
    """
    return BabyAnswer.of(await services.babies.make(user.id, body.match_id, idempotency_key), links)


@router.get("", responses=errors(401, 403))
async def latest_baby(
    match_id: UUID, user: CurrentUser, services: Injected, links: InjectedLinks
) -> LatestBabyAnswer:
    """The latest baby of one of the user's matches, made by either user."""
    baby = await services.db.babies.latest(match_id, profile_id=user.id)
    return LatestBabyAnswer(baby=None if baby is None else BabyAnswer.of(baby, links))


@router.get("/list", responses=errors(400, 401, 403))
async def list_babies(
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=500, description="At most this many.")] = 500,
    cursor: Cursor = None,
) -> BabiesAnswer:
    """All babies of the user's matches, newest first. While one user has blocked the other, each sees only
    the babies they made themselves."""
    page = await services.db.babies.page(user.id, limit=limit, after=place_by_time(cursor))
    return BabiesAnswer(
        babies=[BabyAnswer.of(baby, links) for baby in page.items],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )


@router.get("/{baby_id}", responses=errors(401, 403, 404))
async def read_baby(baby_id: UUID, user: CurrentUser, services: Injected, links: InjectedLinks) -> BabyAnswer:
    """A baby of one of the user's matches, by the id that notifications name."""
    return BabyAnswer.of(await services.db.babies.get(baby_id, profile_id=user.id), links)
