"""The signed-in user's own account."""

from __future__ import annotations

from fastapi import status

from db.profiles import Profile
from semblance.errors import ForbiddenError
from serve_app.api.dependencies import CurrentSession, CurrentUser, Injected, InjectedLinks
from serve_app.api.responses import BODY, errors
from serve_app.api.services import Services
from serve_app.api.topics import Topic
from serve_app.links import Links
from serve_app.schemas.profiles import ProfileAnswer, ProfileChange

router = Topic(prefix="/auth", tags=["account"])


@router.get("/me", responses=errors(401, 403, 409))
async def get_me(user: CurrentUser, services: Injected, links: InjectedLinks) -> ProfileAnswer:
    """The user's profile, created by their first request with a valid token."""
    return await _answer(user, services, links)


@router.patch("/me", responses=errors(401, 403, 409, *BODY))
async def update_me(
    change: ProfileChange, user: CurrentUser, services: Injected, links: InjectedLinks
) -> ProfileAnswer:
    """Change the profile. 403 if the default face is not the user's own; then nothing is changed."""
    changes = change.model_dump(mode="json", exclude_unset=True)
    updated = await services.db.profiles.update(user.id, changes) if changes else user
    if updated is None:
        raise ForbiddenError("This face is not yours.")
    return await _answer(updated, services, links)


@router.post("/logout", status_code=status.HTTP_204_NO_CONTENT, responses=errors(401, 403, 409))
async def logout(user: CurrentUser, session: CurrentSession, services: Injected) -> None:
    """End the session: from now on its tokens are refused, and its realtime connections end. The client ends
    the session at the identity provider itself."""
    await services.db.sessions.revoke(session.key, user.id, session.outlived_at())


async def _answer(profile: Profile, services: Services, links: Links) -> ProfileAnswer:
    key = None if profile.default_face_id is None else await services.db.profiles.default_image(profile.id)
    return ProfileAnswer.of(profile, links.picture(key, "faces"))
