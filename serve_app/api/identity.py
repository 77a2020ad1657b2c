"""Who is asking, as dependencies of routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from db.face_searches import Searcher
from db.profiles import Profile
from semblance.errors import EmailNotAllowedError, ForbiddenError, UnauthorizedError
from serve_app.api.limits import Client, identify
from serve_app.api.services import Injected, Services
from serve_app.auth import Claims, Session, bearer_token, check_secret

user_bearer = HTTPBearer(auto_error=False, scheme_name="User", description="The user's access token (JWT).")
api_key_bearer = HTTPBearer(
    auto_error=False, scheme_name="ApiKey", description="The service's API key, or one of `semblance keys`."
)
cron_bearer = HTTPBearer(auto_error=False, scheme_name="Cron", description="The cron secret.")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whose token it is, and of which session."""

    user: Profile
    session: Session


async def authenticate(services: Services, token: str) -> SignedIn:
    """Whose access token it is; the profile is made at their first one.

    The school is that of the e-mail address wherever the profile has none. Role and all else come from the
    database, never from the token.

    Raises UnauthorizedError for a token that is not valid or whose session was ended, EmailNotAllowedError
    for a first token whose address is of no school while only those that are may sign up, EmailTakenError for
    a first token whose address another profile has.
    """
    claims = await services.tokens.verify(token)
    return SignedIn(await _profile(services, claims), claims.session)


async def _profile(services: Services, claims: Claims) -> Profile:
    profile = await services.db.profiles.of_session(claims.subject, claims.session.key)
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
    signed_in = await authenticate(services, bearer_token(request.headers.get("authorization")))
    request.state.session = signed_in.session
    identify(request, Client("user", str(signed_in.user.id)))
    return signed_in.user


async def optional_user(
    request: Request, services: Injected, _: Annotated[object, Security(user_bearer)]
) -> Profile | None:
    """As `current_user`; None for a request without credentials. Wrong ones are refused all the same."""
    if "authorization" not in request.headers:
        return None
    return await current_user(request, services, _)


async def current_session(request: Request, _: Annotated[Profile, Depends(current_user)]) -> Session:
    """The session of the token's user."""
    return cast(Session, request.state.session)


CurrentUser = Annotated[Profile, Depends(current_user)]
CurrentSession = Annotated[Session, Depends(current_session)]
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
