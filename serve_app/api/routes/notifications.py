"""What happened while the user was away."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from serve_app.api.cursors import encode_cursor, place_by_time
from serve_app.api.dependencies import CurrentUser, Injected
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.schemas.base import Values
from serve_app.schemas.messages import ReadAnswer
from serve_app.schemas.notifications import NotificationAnswer, NotificationsAnswer

router = Topic(prefix="/notifications", tags=["notifications"])


@router.get("", response_model=NotificationsAnswer, responses=errors(400, 401))
async def list_notifications(
    *,
    user: CurrentUser,
    services: Injected,
    unread_only: Annotated[bool, Query(description="Only unread notifications.")] = False,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    offset: Annotated[int, Query(ge=0, le=1_000_000, description="How many to skip.")] = 0,
    cursor: Annotated[
        str | None,
        Query(
            max_length=200,
            description="`next_cursor` of the previous page; stable while notifications come in.",
        ),
    ] = None,
) -> Values:
    """The user's notifications, newest first."""
    page = await services.db.notifications.page(
        user.id, unread_only=unread_only, limit=limit, offset=offset, after=place_by_time(cursor)
    )
    return NotificationsAnswer.values(page, encode_cursor(page.next))


@router.post("/read-all", responses=errors(401))
async def read_all_notifications(user: CurrentUser, services: Injected) -> ReadAnswer:
    """Mark all notifications as read."""
    return ReadAnswer(updated=await services.db.notifications.read_all(user.id))


@router.patch("/{notification_id}/read", responses=errors(401, 404))
async def read_notification(
    notification_id: UUID, user: CurrentUser, services: Injected
) -> NotificationAnswer:
    """Mark a notification as read."""
    return NotificationAnswer.of(await services.db.notifications.read(notification_id, user_id=user.id))


# Before the route of one notification, whose id it would be.
@router.delete("/clear-all", status_code=204, responses=errors(401))
async def clear_notifications(user: CurrentUser, services: Injected) -> None:
    """Delete all notifications."""
    await services.db.notifications.clear(user.id)


@router.delete("/{notification_id}", status_code=204, responses=errors(401, 404))
async def delete_notification(notification_id: UUID, user: CurrentUser, services: Injected) -> None:
    """Delete a notification."""
    await services.db.notifications.delete(notification_id, user_id=user.id)
