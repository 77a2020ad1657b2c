"""What users do with matches."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated
from uuid import UUID

from fastapi import Query, status

from db.reactions import ReactionType
from semblance.errors import ConflictError
from serve_app.api.dependencies import CurrentUser, Injected
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.matches import NewReaction, ReactionAnswer, ReactionsAnswer

router = Topic(prefix="/matches/{match_id}", tags=["matches"])


@router.get("/react", responses=errors(404))
async def list_reactions(match_id: UUID, user: CurrentUser, services: Injected) -> ReactionsAnswer:
    """The user's reactions to a match."""
    return ReactionsAnswer.of(await services.db.reactions.of_user(match_id, user.id))


@router.post("/react", status_code=status.HTTP_201_CREATED, responses=errors(404, *BODY))
async def react(match_id: UUID, body: NewReaction, user: CurrentUser, services: Injected) -> ReactionAnswer:
    """Like one of the user's own matches, or mark any match as viewed. 409 the second time.

    Once both users of a match like it, they are connected: both are notified, and a first message breaks the
    ice.
    """
    connection_id = None
    if body.reaction_type == "like":
        reaction, connection_id = await services.db.reactions.like(match_id, user.id)
    else:
        reaction = await services.db.reactions.view(match_id, user.id)
    return ReactionAnswer(
        id=reaction.id,
        match_id=match_id,
        reaction_type=reaction.reaction_type,
        created_at=reaction.created_at,
        mutual_connection=connection_id,
    )


@router.delete("/react", status_code=status.HTTP_204_NO_CONTENT, responses=errors(404))
async def remove_reactions(
    match_id: UUID,
    user: CurrentUser,
    services: Injected,
    reaction_type: Annotated[
        ReactionType | None, Query(description="Which reaction to remove; all by default.")
    ] = None,
) -> None:
    """Remove the user's reactions to a match, if any. A connection that a like has opened stays."""
    await services.db.reactions.remove(match_id, user.id, reaction_type)


@router.post("/view", responses=errors(404))
async def view_match(match_id: UUID, user: CurrentUser, services: Injected) -> ReactionsAnswer:
    """Mark a match as viewed; a second time changes nothing. Answers all the user's reactions to it."""
    with suppress(ConflictError):
        await services.db.reactions.view(match_id, user.id)
    return ReactionsAnswer.of(await services.db.reactions.of_user(match_id, user.id))
