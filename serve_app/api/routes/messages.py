"""Chat between two connected users."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from semblance.errors import ForbiddenError
from semblance.storage.locations import original_of
from semblance.storage.pictures import picture_of, shown_key
from serve_app.api.cursors import Cursor
from serve_app.api.identity import CurrentUser
from serve_app.api.links import InjectedLinks
from serve_app.api.responses import BODY, errors
from serve_app.api.schemas.messages import MessageAnswer, MessagesAnswer, NewMessage, ReadAnswer
from serve_app.api.services import Injected, Services

router = APIRouter(prefix="/messages", tags=["messages"])

PREVIEW = 100
"""Characters of a message that its notification shows."""


@router.post("", status_code=201, responses=errors(400, 401, 403, 404, *BODY))
async def send_message(
    new: NewMessage, user: CurrentUser, services: Injected, links: InjectedLinks
) -> MessageAnswer:
    """Send a message into one's own active connection; its receiver gets one notification for all that are
    unread.

    An image is a face or baby picture of the sender's own: the address of another server would show that
    server who reads the message.
    """
    content = new.content
    if new.message_type == "image":
        content = await _own_picture(services, user.id, content)
    shortened = new.content if len(new.content) <= PREVIEW else f"{new.content[: PREVIEW - 1]}…"
    message = await services.db.messages.send(
        new.connection_id,
        sender_id=user.id,
        content=content,
        message_type=new.message_type,
        title=f"New message from {user.name or 'your match'}",
        preview="Sent you a picture" if new.message_type == "image" else shortened,
    )
    return MessageAnswer.of(message, user.id, links)


async def _own_picture(services: Services, profile_id: UUID, content: str) -> str:
    """The storage key of a picture that its owner names by its address or key. Raises ForbiddenError, the
    same for what is no picture here and for what is somebody else's."""
    key = picture_of(services.storage.key_of(content) or content)
    original = original_of(key)
    # A row of the old system names the original, until it is copied.
    named = key if original is None else original.path
    may_send = services.db.messages.may_send_picture
    if not await may_send(key, sender_id=profile_id) and not await may_send(named, sender_id=profile_id):
        raise ForbiddenError(
            "Only your own pictures can be sent: the image_url of one of your faces or babies."
        )
    return shown_key(services.storage, "faces", key)


@router.get("/{connection_id}", responses=errors(400, 401, 403, 404))
async def list_messages(
    connection_id: UUID,
    *,
    user: CurrentUser,
    services: Injected,
    links: InjectedLinks,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    before: Annotated[
        str | None, Query(max_length=200, description="`next_cursor` of the page before this one.")
    ] = None,
) -> MessagesAnswer:
    """The messages of one's own connection, newest first."""
    cursor = None if before is None else Cursor.decode(before)
    found = await services.db.messages.page(
        connection_id,
        reader_id=user.id,
        limit=limit + 1,
        before=None if cursor is None else (cursor.time, cursor.id),
    )
    page, has_more = found[:limit], len(found) > limit
    return MessagesAnswer(
        messages=[MessageAnswer.of(message, user.id, links) for message in page],
        has_more=has_more,
        next_cursor=Cursor(page[-1].created_at, page[-1].id).encode() if has_more else None,
    )


@router.patch("/{message_id}/read", responses=errors(400, 401, 403, 404))
async def read_message(
    message_id: UUID, user: CurrentUser, services: Injected, links: InjectedLinks
) -> MessageAnswer:
    """Mark a received message as read. With the last unread one its notification is read, too."""
    return MessageAnswer.of(await services.db.messages.read(message_id, reader_id=user.id), user.id, links)


@router.post("/{connection_id}/read-all", responses=errors(400, 401, 403, 404))
async def read_all_messages(connection_id: UUID, user: CurrentUser, services: Injected) -> ReadAnswer:
    """Mark all received messages of a connection and their notification as read."""
    return ReadAnswer(updated=await services.db.messages.read_all(connection_id, reader_id=user.id))
