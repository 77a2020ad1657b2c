"""Credentials: the service's secrets, compared in constant time, and users' access tokens."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from uuid import UUID

import jwt
from pydantic import SecretStr

from semblance.errors import UnauthorizedError
from semblance.settings import Settings


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer …` header; raises UnauthorizedError without one."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError("Send your credentials as 'Authorization: Bearer …'.")
    return token.strip()


def check_secret(authorization: str | None, secret: SecretStr) -> None:
    """Compare in constant time; raises UnauthorizedError unless the header carries `secret`."""
    given = bearer_token(authorization).encode()
    if not hmac.compare_digest(given, secret.get_secret_value().encode()):
        raise UnauthorizedError("This key is not valid.")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says: the profile's id and its e-mail address, lower case."""

    subject: UUID
    email: str | None


class TokenVerifier:
    """Checks access tokens: signature, `exp`, `aud`, `iss`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def verify(self, token: str) -> Claims:
        """The token's claims; raises UnauthorizedError for one that is not valid."""
        try:
            claims = jwt.decode(
                token,
                self._settings.required_jwt_secret.get_secret_value(),
                algorithms=["HS256"],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                options={"require": ["exp", "aud", "sub"]},
            )
            email = claims.get("email")
            return Claims(UUID(claims["sub"]), email.lower() if isinstance(email, str) else None)
        except (jwt.InvalidTokenError, ValueError) as exc:
            raise UnauthorizedError("This access token is not valid.") from exc
