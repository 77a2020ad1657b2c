"""Who is asking: the service API key of the face-compute endpoints."""

from __future__ import annotations

import hmac

from pydantic import SecretStr

from semblance.errors import UnauthorizedError


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer …` header; raises UnauthorizedError without one."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError("Send the API key as 'Authorization: Bearer <key>'.")
    return token.strip()


def check_api_key(authorization: str | None, key: SecretStr) -> None:
    """Compare in constant time; raises UnauthorizedError unless the header carries `key`."""
    given = bearer_token(authorization).encode()
    if not hmac.compare_digest(given, key.get_secret_value().encode()):
        raise UnauthorizedError("This API key is not valid.")
