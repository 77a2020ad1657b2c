"""Who is asking, as dependencies of routes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from db.face_searches import Searcher
from db.profiles import Profile
from semblance.errors import EmailNotAllowedError, ForbiddenError, UnauthorizedError
from serve_app.api.limits import Client, identify
from serve_app.api.services import Injected, Services
from serve_app.auth import bearer_token, check_secret
from serve_app.schools import school_of

user_bearer = HTTPBearer(auto_error=False, scheme_name="User", description="The user's access token (JWT).")
api_key_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="The service's API key, or one of `semblance keys`."
)
cron_bearer = HTTPBearer(auto_error=False, scheme_name="Cron", description="The cron secret.")


async def authenticate(services: Services, token: str) -> Profile:
    """The profile of an access token's user, made at their first token.

    The school is that of the e-mail address wherever the profile has none. Role and all else come from the
    database, never from the token.

    Raises UnauthorizedError for a token that is not valid, EmailNotAllowedError for a first token whose
    address is not below `.edu` while only those may sign up, EmailTakenError for a first token whose address
    another profile has.
    """
    claims = await services.tokens.verify(token)
    school = school_of(claims.email)
    profile = await services.db.profiles.get(claims.subject)
    if profile is None:
        if school is None and not (await services.db.system_settings.get()).allow_non_edu_emails:
            raise EmailNotAllowedError(
                "Sign up with an e-mail address of your school, one that ends in .edu."
            )
        return await services.db.profiles.create(
            claims.subject, email=claims.email, name=claims.name, gender=claims.gender, school=school
        )
    if profile.school is None and school is not None:
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


async def current_searcher(
    request: Request,
    services: Injected,
    as_user: Annotated[object, Security(user_bearer)],
    _: Annotated[object, Security(api_key_bearer)],
) -> Searcher:
    """An admin, or whoever has an API key of the scope `search`; the service's own key does not open this.

    Raises ForbiddenError for other users, and for everybody where the settings do not allow the search.
    """
    token = bearer_token(request.headers.get("authorization"))
    if "." in token:
        admin = await admin_user(await current_user(request, services, as_user))
        searcher = Searcher(profile_id=admin.id)
    elif key_id := await services.db.api_keys.use(token, "search"):
        identify(request, Client("key", token))
        searcher = Searcher(api_key_id=key_id)
    else:
        raise UnauthorizedError("This takes an admin's access token or a key of the scope 'search'.")
    if not services.settings.face_search:
        raise ForbiddenError("The search among users' faces is off; SEMBLANCE_FACE_SEARCH=true allows it.")
    return searcher


CurrentSearcher = Annotated[Searcher, Depends(current_searcher)]


async def require_cron(
    request: Request, services: Injected, _: Annotated[object, Security(cron_bearer)]
) -> None:
    """Refuse a request without the cron secret."""
    check_secret(request.headers.get("authorization"), services.settings.required_cron_secret)


PUBLIC: dict[str, Any] = {"security": [{}]}
"""OpenAPI of a route with `OptionalUser`: added to the user's scheme, that none will do as well."""
