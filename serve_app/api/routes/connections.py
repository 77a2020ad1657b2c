"""Connections: pairs of users who can chat."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query

from serve_app.api.cursors import encode_cursor, place_by_time
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks
from serve_app.api.responses import BODY, errors
from serve_app.api.topics import Topic
from serve_app.schemas.connections import (
    ConnectionChange,
    ConnectionCheck,
    ConnectionQuestion,
    ConnectionsAnswer,
    ConnectionSummary,
)

router = Topic(prefix="/connections", tags=["connections"])


@router.get("", responses=errors(400))
async def list_connections(
    *,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    status: Literal["active", "blocked", "archived", "all"] = "active",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many to skip.")] = 0,
    cursor: Annotated[
        str | None,
        Query(
            max_length=200,
            description="`next_cursor` of the previous page; nothing already seen is repeated.",
        ),
    ] = None,
) -> ConnectionsAnswer:
    """The user's connections, latest activity first."""
    page = await services.db.connections.page(
        user.id,
        status=None if status == "all" else status,
        limit=limit,
        offset=offset,
        after=place_by_time(cursor),
    )
    return ConnectionsAnswer(
        connections=[ConnectionSummary.of(connection, links) for connection in page.items],
        total=page.total,
        next_cursor=encode_cursor(page.next),
    )


@router.post("/check", responses=errors(404, *BODY))
async def check_connection(
    body: ConnectionQuestion, user: CurrentUser, services: Injected, links: InjectedLinks
) -> ConnectionCheck:
    """Whether the two users of a match are connected, by this match or by another one."""
    connection = await services.db.connections.of_match(body.match_id, user_id=user.id)
    return ConnectionCheck(
        exists=connection is not None,
        connection=None if connection is None else ConnectionSummary.of(connection, links),
    )


@router.get("/{connection_id}", responses=errors(404))
async def read_connection(
    connection_id: UUID, user: CurrentUser, services: Injected, links: InjectedLinks
) -> ConnectionSummary:
    """One of the user's connections."""
    return ConnectionSummary.of(await services.db.connections.get(connection_id, user_id=user.id), links)


@router.patch("/{connection_id}", responses=errors(404, *BODY))
async def update_connection(
    connection_id: UUID,
    body: ConnectionChange,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
) -> ConnectionSummary:
    """Block, archive or reopen a connection for both users. Only the user who blocked a connection can change
    it while it is blocked."""
    connection = await services.db.connections.set_status(connection_id, body.status, user_id=user.id)
    return ConnectionSummary.of(connection, links)
