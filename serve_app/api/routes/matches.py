"""Matches: the live feed, the user's own, and the celebrities they look like."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query

from db.matches import Match, SavedCelebrityMatch
from db.pages import ByScore, ByTime, CountedPage
from db.reactions import ReactionType
from deployments.packs.calibration import SimilarityScale
from semblance.errors import ForbiddenError, UnauthorizedError
from serve_app.api.cursors import encode_cursor, place_by_score, place_by_time
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks, OptionalUser
from serve_app.api.responses import PUBLIC, errors
from serve_app.api.topics import Topic
from serve_app.links import Links
from serve_app.schemas.base import Values
from serve_app.schemas.matches import (
    CelebrityMatchesAnswer,
    CelebrityMatchSummary,
    MatchesAnswer,
    OwnMatch,
    OwnMatchesAnswer,
    StatsAnswer,
)

router = Topic(prefix="/matches", tags=["matches"])

Skip = Annotated[int, Query(ge=0, le=1_000_000, description="How many to skip.")]
Next = Annotated[
    str | None,
    Query(max_length=200, description="`next_cursor` of the previous page; stable while matches are added."),
]
FaceId = Annotated[UUID, Query(description="One of the user's own faces.")]


@router.get("/top", response_model=MatchesAnswer, responses=errors(400), openapi_extra=PUBLIC)
async def list_top_matches(
    *,
    user: OptionalUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    skip: Skip = 0,
    show: Annotated[
        Literal["all", "new", "viewed", "liked"],
        Query(
            alias="filter",
            description="new: of the last 5 minutes. viewed, liked: by the user; only when signed in.",
        ),
    ] = "all",
    sort: Annotated[
        Literal["newest", "best"], Query(description="A cursor is valid only for the order it came from.")
    ] = "newest",
    cursor: Next = None,
) -> Values:
    """The public live feed. For a signed-in user, `my_reaction` has their reactions to a match, and `online`
    and `last_seen` say when its users are there."""
    viewer_id = None if user is None else user.id
    matches = services.db.matches
    page: CountedPage[Match, ByTime] | CountedPage[Match, ByScore]
    if show in {"viewed", "liked"}:
        if viewer_id is None:
            raise UnauthorizedError(f"Sign in to see what you have {show}.")
        reaction: ReactionType = "like" if show == "liked" else "viewed"
        if sort == "best":
            page = await matches.best_reacted(
                viewer_id=viewer_id, reaction=reaction, limit=limit, offset=skip, after=place_by_score(cursor)
            )
        else:
            page = await matches.reacted(
                viewer_id=viewer_id, reaction=reaction, limit=limit, offset=skip, after=place_by_time(cursor)
            )
    elif sort == "best":
        page = await matches.best(
            viewer_id=viewer_id,
            new_only=show == "new",
            limit=limit,
            offset=skip,
            after=place_by_score(cursor),
        )
    else:
        page = await matches.feed(
            viewer_id=viewer_id, new_only=show == "new", limit=limit, offset=skip, after=place_by_time(cursor)
        )
    return MatchesAnswer.values(page, encode_cursor(page.next), links, services.scale)


@router.get("/top/stats", openapi_extra=PUBLIC)
async def read_match_stats(user: OptionalUser, services: Injected) -> StatsAnswer:
    """Counts of the live feed."""
    return StatsAnswer.of(await services.db.matches.stats(None if user is None else user.id))


@router.get("/for-image", responses=errors(400, 404))
async def list_matches_for_image(
    *,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    face_id: FaceId,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    skip: Skip = 0,
    cursor: Next = None,
) -> OwnMatchesAnswer:
    """The users that a face looks like, best first: of several matches with the same user only the best."""
    await services.db.matches.check_owner(face_id, user.id)
    page = await services.db.matches.of_face(
        face_id, viewer_id=user.id, limit=limit, offset=skip, after=place_by_score(cursor)
    )
    return OwnMatchesAnswer(
        matches=[
            OwnMatch.seen(match, match.b if match.a.face_id == face_id else match.a, links, services.scale)
            for match in page.items
        ],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )


@router.get("/user/{user_id}", responses=errors(400))
async def list_matches_of_user(
    *,
    user_id: UUID,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    skip: Skip = 0,
    cursor: Next = None,
) -> OwnMatchesAnswer:
    """The matches of all faces of a user, newest first. Only admins see those of other users."""
    if user_id != user.id and user.role != "admin":
        raise ForbiddenError("These matches belong to another user.")
    page = await services.db.matches.of_user(
        user_id, viewer_id=user.id, limit=limit, offset=skip, after=place_by_time(cursor)
    )
    return OwnMatchesAnswer(
        matches=[
            OwnMatch.seen(match, match.b if match.a.id == user_id else match.a, links, services.scale)
            for match in page.items
        ],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )


@router.get("/celebrity", responses=errors(400, 404))
async def list_celebrity_matches(
    *,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    face_id: FaceId,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Next = None,
) -> CelebrityMatchesAnswer:
    """The celebrities that a face looks like, best first."""
    await services.db.matches.check_owner(face_id, user.id)
    page = await services.db.matches.celebrities(face_id, limit=limit, after=place_by_score(cursor))
    return _celebrities(page, links, services.scale)


@router.get("/celebrity/{face_id}", responses=errors(400, 404))
async def list_celebrity_matches_of_face(
    *,
    face_id: UUID,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Next = None,
) -> CelebrityMatchesAnswer:
    """As `GET /api/matches/celebrity`, with the face in the path."""
    await services.db.matches.check_owner(face_id, user.id)
    page = await services.db.matches.celebrities(face_id, limit=limit, after=place_by_score(cursor))
    return _celebrities(page, links, services.scale)


def _celebrities(
    page: CountedPage[SavedCelebrityMatch, ByScore], links: Links, scale: SimilarityScale
) -> CelebrityMatchesAnswer:
    return CelebrityMatchesAnswer(
        matches=[CelebrityMatchSummary.of(match, links, scale) for match in page.items],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )
