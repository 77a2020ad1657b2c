"""Credentials: the service's secrets, compared in constant time, and users' access tokens."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast, get_args
from uuid import UUID

import jwt
from pydantic import SecretStr

from db.profiles import StatedGender
from semblance.errors import UnauthorizedError
from semblance.names import usable_name
from semblance.settings import Settings
from serve_app.provider_sessions import ProviderSessions
from serve_app.signing_keys import ALGORITHMS, SigningKeys

LEEWAY_S = 10
"""How far the provider's clock may differ from ours."""

CHECKED: Final = 10_000
"""Most tokens that are remembered as checked. Each takes about a kilobyte."""

_LAST_SECOND = 253_402_300_799
"""Unix time of the end of the year 9999, the latest time that Python knows."""

_MAX_EMAIL = 254
"""Longest address, by RFC 5321."""


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer …` header; raises UnauthorizedError without one."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError("Send your credentials as 'Authorization: Bearer …'.")
    return token.strip()


def same_secret(given: str, secret: SecretStr) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode(), secret.get_secret_value().encode())


def check_secret(authorization: str | None, secret: SecretStr) -> None:
    """Compare in constant time; raises UnauthorizedError unless the header carries `secret`."""
    if not same_secret(bearer_token(authorization), secret):
        raise UnauthorizedError("This key is not valid.")


@dataclass(frozen=True, slots=True)
class UserSession:
    """A user's session at the identity provider, which signing out ends.

    key: 32 bytes, the same for all tokens that name the session; it cannot be used to sign in.
    ends_at: Unix time until which `TokenVerifier` accepts this token.
    lifetime: seconds from issue to expiry, of this token and so of all tokens of its provider.
    """

    key: bytes
    ends_at: float
    lifetime: float

    def outlived_at(self) -> float:
        """Unix time until which `TokenVerifier` accepts any token of the session issued until now; the client
        may have refreshed this one."""
        return max(self.ends_at, min(time.time() + self.lifetime, _LAST_SECOND) + LEEWAY_S)


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a valid access token.

    subject: the profile's id. email: in lower case; None if the account has none. name, gender: those of the
    account; None if missing or not usable. session: the session of the token.
    """

    subject: UUID
    email: str | None
    name: str | None
    gender: StatedGender | None
    session: UserSession


@dataclass(frozen=True, slots=True)
class _Checked:
    """A valid token: what its header says, and the key by which its signature was checked."""

    header: Mapping[str, Any]
    key: str | jwt.PyJWK
    claims: Claims


class TokenVerifier:
    """Checks access tokens: signature, `exp`, `nbf`, `iat`, `aud`, `iss`, and that `sub` is a UUID.

    HS256 is checked only against the secret, RS256 and ES256 only against the provider's keys, each key with
    the one algorithm it is made for, so no public key is ever used as a secret. Everything else, above all
    `none`, is refused. If `session_check_seconds` is set, Supabase must know the session, too.

    A client sends the same token with every request of an hour. It is checked in full once, and then until it
    expires only for whether its key is still in use.
    """

    def __init__(self, settings: Settings, keys: SigningKeys | None = None) -> None:
        """keys: by default those behind `jwt_jwks_url`."""
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()
        self._settings = settings
        url = settings.jwt_jwks_url
        self._keys = keys if keys is not None or url is None else SigningKeys(url)
        self._sessions = ProviderSessions.of(settings)

    async def verify(self, token: str) -> Claims:
        """The token's claims.

        Raises UnauthorizedError for an invalid token, IdentityProviderError if the provider's keys or its
        knowledge of the session could not be fetched yet, ConfigurationError if neither a secret nor a URL
        of keys is set.
        """
        claims = await self._read(token)
        if self._sessions is not None:
            await self._sessions.check(token, claims.session.key, claims.subject)
        return claims

    async def _read(self, token: str) -> Claims:
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        try:
            checked = await self._known(digest) or await self._check(token)
        except jwt.ExpiredSignatureError as exc:
            raise UnauthorizedError("This access token has expired; sign in again.") from exc
        except jwt.ImmatureSignatureError as exc:
            raise UnauthorizedError(
                "This access token begins in the future: the clock here or where it was made is wrong."
            ) from exc
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as exc:
            # The library also lets through Python's errors for times like 1e400 or [1].
            raise UnauthorizedError(
                "This takes a user's access token, and what was sent is not a valid one."
            ) from exc
        self._remember(digest, checked)
        return checked.claims

    async def _check(self, token: str) -> _Checked:
        header = jwt.get_unverified_header(token)
        key, algorithm = await self._key(header)
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._settings.jwt_audience,
            issuer=self._settings.jwt_issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "aud", "sub"], "enforce_minimum_key_length": True},
        )
        return _Checked({"alg": algorithm, "kid": header.get("kid")}, key, _claims(claims, token))

    async def _known(self, digest: bytes) -> _Checked | None:
        """The token with this hash if it was checked before with the key that is in use, and has not
        expired."""
        checked = self._checked.get(digest)
        # The library takes no account of fractions of a second.
        if checked is None or time.time() >= int(checked.claims.session.ends_at):
            return None
        return checked if (await self._key(checked.header))[0] is checked.key else None

    def _remember(self, digest: bytes, checked: _Checked) -> None:
        self._checked[digest] = checked
        self._checked.move_to_end(digest)
        if len(self._checked) > CHECKED:
            self._checked.popitem(last=False)

    async def _key(self, header: Mapping[str, Any]) -> tuple[str | jwt.PyJWK, str]:
        """The key for a token with this header, and its algorithm."""
        algorithm, kid = str(header.get("alg")), header.get("kid")
        if algorithm == "HS256" and (self._keys is None or self._settings.jwt_secret is not None):
            return self._settings.required_jwt_secret.get_secret_value(), "HS256"
        if algorithm in ALGORITHMS and self._keys is not None and isinstance(kid, str):
            key = await self._keys.find(kid)
            if key is not None:
                return key, key.algorithm_name
        raise jwt.InvalidKeyError("no key for this token")


def _claims(claims: Mapping[str, Any], token: str) -> Claims:
    """Raises ValueError if the subject is not a UUID or the token never expires."""
    if float(claims["exp"]) > _LAST_SECOND:
        raise ValueError("the token expires after the year 9999")
    expires = float(claims["exp"])
    subject = UUID(claims["sub"])
    if str(subject) != claims["sub"].lower():
        raise ValueError("the subject is a UUID in an unusual form")
    metadata = claims.get("user_metadata")
    said: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    email = _email(claims.get("email"))
    gender = said.get("gender")
    return Claims(
        subject=subject,
        email=email,
        name=_name(said.get("name")) or _name(said.get("full_name")),
        gender=cast(StatedGender, gender) if gender in get_args(StatedGender) else None,
        session=UserSession(
            key=_session_key(subject, claims, token),
            ends_at=expires + LEEWAY_S,
            lifetime=max(0.0, expires - float(claims.get("iat", expires))),
        ),
    )


def _session_key(subject: UUID, claims: Mapping[str, Any], token: str) -> bytes:
    """The hash of the session's id as Supabase names it, of the token's id (`jti`, RFC 7519), or of the
    token. With the subject: nobody can end another user's session by claiming its id."""
    for name in ("session_id", "jti"):
        if isinstance(value := claims.get(name), str) and value:
            break
    else:
        name, value = "token", token
    return hashlib.sha256(f"{subject} {name} {value}".encode(errors="surrogatepass")).digest()


def _name(value: object) -> str | None:
    """As `usable_name`; None if it is not a usable name."""
    try:
        return usable_name(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _email(value: object) -> str | None:
    """In lower case, without surrounding spaces; None if it is not an address, too long or not printable,
    which PostgreSQL might refuse."""
    text = value.strip().lower() if isinstance(value, str) else ""
    return text if "@" in text and len(text) <= _MAX_EMAIL and text.isprintable() else None
