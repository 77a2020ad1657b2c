"""`semblance token`."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from typing import Any

import jwt
import typer

from ops.commands.output import errors
from ops.stack.home import StackHome
from semblance.errors import BadInputError
from semblance.schools import school_of
from semblance.settings import Settings


def print_token(
    settings: Settings, email: str, *, user_id: uuid.UUID | None, name: str | None, lifetime: timedelta
) -> None:
    """Print an access token and nothing else on standard output. Raises BadInputError for an invalid
    address."""
    email = email.strip().lower()
    local, _, host = email.rpartition("@")
    if not (local and host and email.isprintable()):
        raise BadInputError(f"{email!r} is not an e-mail address.")
    if school_of(email) is None:
        errors.print(
            "[yellow]Note:[/] unless a school has this domain, the first request is refused while "
            "[cyan]allow_non_edu_emails[/] is off."
        )
    typer.echo(make_token(settings, email, user_id=user_id or id_of(email), name=name, lifetime=lifetime))


def id_of(email: str) -> uuid.UUID:
    """The id derived from an address: always the same for the same address."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{email}")


def make_token(
    settings: Settings, email: str, *, user_id: uuid.UUID, name: str | None, lifetime: timedelta
) -> str:
    """An access token with the claims that Supabase uses, signed with the secret of the settings or of
    `home`."""
    if settings.jwt_secret is not None:
        secret = settings.jwt_secret.get_secret_value()
    else:
        home = StackHome.of(settings)
        home.prepare()
        secret = home.jwt_secret()
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": str(user_id),
        "email": email,
        "role": "authenticated",
        "aud": settings.jwt_audience,
        "iat": now,
        "exp": now + int(lifetime.total_seconds()),
        "user_metadata": {} if name is None else {"name": name},
    }
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    return jwt.encode(claims, secret, algorithm="HS256")
