"""People of the app, for operators. What they write to each other is not shown."""

from __future__ import annotations

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query, status

from db.accounts import AccountFilter
from db.profiles import Role
from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.dependencies import Injected, InjectedLinks, Operator
from serve_app.api.responses import BODY, errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.links import Links
from serve_app.schemas.admin_users import RepeatedName, RoleChange, UserDetails, UsersAnswer, UserSummary
from serve_app.schemas.patterns import STORABLE

router = Topic(prefix="/admin/users", tags=["admin"])

_PHOTOS: Final = 24


@router.get("", responses=errors(400, 401, 403))
async def list_users(
    *,
    _: Operator,
    services: Injected,
    links: InjectedLinks,
    search: Annotated[
        str,
        Query(
            max_length=200,
            pattern=STORABLE,
            description="How the name, the e-mail address or the school begins, in any letter case.",
        ),
    ] = "",
    role: Role | None = None,
    blocked: bool | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Cursor = None,
) -> UsersAnswer:
    """Users of the app, the latest to sign up first."""
    page = await services.db.accounts.page(
        AccountFilter(search, role, blocked), limit=limit, after=place_by_time(cursor)
    )
    settings = await services.db.system_settings.get()
    return UsersAnswer(
        users=[UserSummary(**UserSummary.columns(account, links)) for account in page.items],
        next_cursor=encode_cursor(page.next),
        daily_photo_upload_limit=settings.daily_photo_upload_limit,
        daily_baby_generation_limit=settings.daily_baby_generation_limit,
    )


@router.get("/{user_id}", responses=errors(401, 403, 404))
async def read_user(user_id: UUID, _: Operator, services: Injected, links: InjectedLinks) -> UserDetails:
    """A user with the latest photos."""
    return await _details(services, links, user_id)


@router.post("/{user_id}/block", responses=errors(401, 403, 404, 409))
async def block_user(
    user_id: UUID, operator: Operator, services: Injected, links: InjectedLinks
) -> UserDetails:
    """Keep a user out. All sessions and realtime connections end, every call answers 403, and the user is in
    no feed, match, chat or search, until the block is lifted. 409 for the last admin and for the own
    account."""
    await services.db.accounts.set_blocked(user_id, True, by=operator.profile_id)
    return await _details(services, links, user_id)


@router.post("/{user_id}/unblock", responses=errors(401, 403, 404, 409))
async def unblock_user(
    user_id: UUID, operator: Operator, services: Injected, links: InjectedLinks
) -> UserDetails:
    """Let a blocked user in again, with all photos and matches. The photos are matched again."""
    await services.db.accounts.set_blocked(user_id, False, by=operator.profile_id)
    return await _details(services, links, user_id)


@router.put("/{user_id}/role", responses=errors(401, 403, 404, 409, *BODY))
async def change_role(
    user_id: UUID, body: RoleChange, operator: Operator, services: Injected, links: InjectedLinks
) -> UserDetails:
    """Make a user an admin, or an admin a user. 409 for the last admin and for the own account."""
    await services.db.accounts.set_role(user_id, body.role, by=operator.profile_id)
    return await _details(services, links, user_id)


@router.post(
    "/{user_id}/delete",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=errors(400, 401, 403, 404, 409, *BODY),
)
async def delete_user(user_id: UUID, body: RepeatedName, operator: Operator, services: Injected) -> None:
    """Delete a user with all photos, matches, chats and pictures, for good. The account at the identity
    provider stays: somebody who may not come back is better blocked. 409 for the last admin and for the own
    account."""
    await services.db.accounts.delete(user_id, body.name, by=operator.profile_id)


async def _details(services: Services, links: Links, user_id: UUID) -> UserDetails:
    account = await services.db.accounts.get(user_id)
    faces = await services.db.faces.page(user_id, limit=_PHOTOS)
    return UserDetails.of(account, faces.items, links)
