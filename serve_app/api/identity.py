"""Who is asking, as dependencies of the routes under `/api`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from db.profiles import Profile
from semblance.errors import EmailNotAllowedError, ForbiddenError
from serve_app.api.limits import Client, identify
from serve_app.api.services import Injected, Services
from serve_app.auth import bearer_token, check_secret

user_bearer = HTTPBearer(auto_error=False, scheme_name="User", description="The user's access token (JWT).")
cron_bearer = HTTPBearer(auto_error=False, scheme_name="Cron", description="The cron secret.")


async def authenticate(services: Services, token: str) -> Profile:
    """The profile of an access token's user, made at their first token.

    The school is that of the e-mail address wherever the profile has none. Role and all else come from the
    database, never from the token.

    Raises UnauthorizedError for a token that is not valid, EmailNotAllowedError for a first token whose
    address is of no school while only those that are may sign up, EmailTakenError for a first token whose
    address another profile has.
    """
    claims = await services.tokens.verify(token)
    profile = await services.db.profiles.get(claims.subject)
    if profile is not None and profile.school is not None:
        return profile
    school = await services.db.profiles.school_of_address(claims.email)
    if profile is None:
        if school is None and not (await services.db.system_settings.get()).allow_non_edu_emails:
            raise EmailNotAllowedError(
                "Sign up with the e-mail address that your school gave you, for example one in .edu."
            )
        return await services.db.profiles.create(
            claims.subject, email=claims.email, name=claims.name, gender=claims.gender, school=school
        )
    if school is not None:
        return await services.db.profiles.update(profile.id, {"school": school}) or profile
    return profile


async def current_user(
    request: Request, services: Injected, _: Annotated[object, Security(user_bearer)]
) -> Profile:
    """The profile of the token's user, as `authenticate` gives it."""
    user = await authenticate(services, bearer_token(request.headers.get("authorization")))
    identify(request, Client("user", str(user.id)))
    return user


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


PUBLIC: dict[str, Any] = {"security": [{}]}
"""OpenAPI of a route with `OptionalUser`: added to the user's scheme, that none will do as well."""
