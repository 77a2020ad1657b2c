"""Who is asking, as dependencies of the routes under `/api`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from db.profiles import Profile
from semblance.errors import ForbiddenError, UnauthorizedError
from serve_app.api.services import Injected
from serve_app.auth import bearer_token, check_secret

user_bearer = HTTPBearer(auto_error=False, scheme_name="User", description="The user's access token (JWT).")
cron_bearer = HTTPBearer(auto_error=False, scheme_name="Cron", description="The cron secret.")


async def current_user(
    request: Request, services: Injected, _: Annotated[object, Security(user_bearer)]
) -> Profile:
    """The profile of the token's user, made at the first valid token."""
    claims = services.tokens.verify(bearer_token(request.headers.get("authorization")))
    profile = await services.db.profiles.get(claims.subject)
    if profile is None:
        await services.db.profiles.create(claims.subject, email=claims.email, name=None, school=None)
        profile = await services.db.profiles.get(claims.subject)
    if profile is None:
        raise UnauthorizedError("This account has no profile.")
    return profile


async def optional_user(
    request: Request, services: Injected, _: Annotated[object, Security(user_bearer)]
) -> Profile | None:
    """As `current_user`; None for a request without credentials. Wrong ones are refused all the same."""
    if "authorization" not in request.headers:
        return None
    return await current_user(request, services, _)


CurrentUser = Annotated[Profile, Depends(current_user)]
OptionalUser = Annotated[Profile | None, Depends(optional_user)]


async def admin_user(user: CurrentUser) -> Profile:
    """The user, if the database says that they are an admin."""
    if user.role != "admin":
        raise ForbiddenError("Only admins may do this.")
    return user


AdminUser = Annotated[Profile, Depends(admin_user)]


async def require_cron(
    request: Request, services: Injected, _: Annotated[object, Security(cron_bearer)]
) -> None:
    """Refuse a request without the cron secret."""
    check_secret(request.headers.get("authorization"), services.settings.required_cron_secret)
