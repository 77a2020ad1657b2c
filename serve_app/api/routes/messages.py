"""Chat between two connected users."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from db.profiles import Profile
from semblance.errors import ForbiddenError
from semblance.storage.locations import original_of
from semblance.storage.pictures import picture_of, shown_key
from serve_app.api.cursors import encode_cursor, place_by_time
from serve_app.api.dependencies import CurrentUser, Injected, InjectedLinks
from serve_app.api.responses import BODY, errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.schemas.messages import MessageAnswer, MessagesAnswer, NewMessage, ReadAnswer

router = Topic(prefix="/messages", tags=["messages"])

PREVIEW = 100
"""Characters of a message that its notification shows."""


@router.post("", status_code=201, responses=errors(400, 401, 403, 404, *BODY))
async def send_message(
    new: NewMessage, user: CurrentUser, services: Injected, links: InjectedLinks
) -> MessageAnswer:
    """Send a message in one of the user's active connections. The receiver gets one notification for all
    unread messages of a connection.

    An image must be one of the sender's own faces or babies: the address of another server would show that
    server who reads the message.
    """
    content = new.content
    if new.message_type == "image":
        content = await _own_picture(services, user.id, content)
    title, preview = notice(user, new.content)
    message = await services.db.messages.send(
        new.connection_id,
        sender_id=user.id,
        content=content,
        message_type=new.message_type,
        title=title,
        preview="Sent you a picture" if new.message_type == "image" else preview,
    )
    return MessageAnswer.of(message, user.id, links)


def notice(sender: Profile, content: str) -> tuple[str, str]:
    """Title and text of the notification of a message."""
    shortened = content if len(content) <= PREVIEW else f"{content[: PREVIEW - 1]}…"
    return f"New message from {sender.name or 'your match'}", shortened


async def _own_picture(services: Services, profile_id: UUID, content: str) -> str:
    """The storage key of a picture that its owner names by its address or key. Raises the same ForbiddenError
    for an unknown picture and for one that belongs to another user."""
    key = picture_of(services.storage.key_of(content) or content)
    original = original_of(key)
    # An adopted row names the original until it is copied.
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
        str | None, Query(max_length=200, description="`next_cursor` of the previous page.")
    ] = None,
) -> MessagesAnswer:
    """The messages of one of the user's connections, newest first."""
    page = await services.db.messages.page(
        connection_id, reader_id=user.id, limit=limit, after=place_by_time(before)
    )
    return MessagesAnswer(
        messages=[MessageAnswer.of(message, user.id, links) for message in page.items],
        has_more=page.next is not None,
        next_cursor=encode_cursor(page.next),
    )


@router.patch("/{message_id}/read", responses=errors(400, 401, 403, 404))
async def read_message(
    message_id: UUID, user: CurrentUser, services: Injected, links: InjectedLinks
) -> MessageAnswer:
    """Mark a received message as read. With the last unread message, the notification becomes read, too."""
    return MessageAnswer.of(await services.db.messages.read(message_id, reader_id=user.id), user.id, links)


@router.post("/{connection_id}/read-all", responses=errors(400, 401, 403, 404))
async def read_all_messages(connection_id: UUID, user: CurrentUser, services: Injected) -> ReadAnswer:
    """Mark all received messages of a connection and their notification as read."""
    return ReadAnswer(updated=await services.db.messages.read_all(connection_id, reader_id=user.id))
