"""Whose access token it is: the profile behind it, made at the first one."""

from __future__ import annotations

from dataclasses import dataclass

from db.profiles import Profile
from semblance.errors import EmailNotAllowedError
from serve_app.api.services import Services
from serve_app.auth import Claims, UserSession


@dataclass(frozen=True, slots=True)
class SignedIn:
    """The user of an access token, and the session that the token belongs to."""

    user: Profile
    session: UserSession


async def authenticate(services: Services, token: str) -> SignedIn:
    """The user of an access token; their profile is made at the first one.

    A profile without a school gets the school of the e-mail address. Role and all else come from the
    database, never from the token.

    Raises UnauthorizedError for a token that is not valid or whose session has ended, BlockedAccountError for
    a user whom operators have blocked, EmailNotAllowedError for a first token whose address belongs to no
    school while only such addresses may sign up, EmailTakenError for a first token whose address another
    profile has.
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
