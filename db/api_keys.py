"""API keys of the face-compute endpoints, of the search among users' faces, and of the metrics."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from db.audit import audit
from db.pool import Database
from db.queries import sql
from db.secret_hash import secret_hash
from semblance.errors import NotFoundError

Scope = Literal["compute", "search", "metrics"]
"""What a key allows: `compute` the endpoints that analyze and compare faces, `search` the search among users'
faces, `metrics` to read the service's metrics."""


_PREFIX = "smk_"
_SHOWN = 10
"""How many characters of a key lists show. Six of them are random: enough to tell keys apart, useless for
access."""

_KEY = re.compile(_PREFIX + r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as stored, which is without the key itself; `prefix` is how it begins.

    last_used_at: to the minute; None before the first use. revoked_at: None while the key is valid.
    """

    id: UUID
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class ApiKeys:
    """The table `api_keys`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, scopes: Collection[Scope]) -> tuple[str, ApiKey]:
        """Make a key. Returns the key, which cannot be retrieved later, and what is stored of it.

        Raises QueryError for an empty name, no scope, or an unknown scope.
        """
        key = _PREFIX + secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(
                sql.create_api_key, name, key[:_SHOWN], secret_hash(key), list(dict.fromkeys(scopes))
            )
            stored = ApiKey(**row)
            await audit(
                connection, "api_key.create", str(stored.id), after={"name": name, "scopes": stored.scopes}
            )
        return key, stored

    async def all(self) -> list[ApiKey]:
        """All keys, including revoked ones, oldest first."""
        return [ApiKey(**row) for row in await self._database.fetch(sql.list_api_keys)]

    async def revoke(self, key_id: UUID) -> ApiKey:
        """Revoke a key; the next request with it is refused. Raises NotFoundError."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(sql.revoke_api_key, key_id)
            if row is None:
                raise NotFoundError(f"There is no API key {key_id}.")
            key = dict(row)
            if key.pop("changed"):
                await audit(connection, "api_key.revoke", str(key_id), before={"name": key["name"]})
        return ApiKey(**key)

    async def use(self, key: str, scope: Scope) -> UUID | None:
        """The id of the key if it is valid for `scope`, else None; notes the time of its use.

        A string that cannot be a key is refused without asking the database. Nothing is cached: a look-up by
        index costs little compared with what a key allows, and a revocation takes effect at once.
        """
        if _KEY.fullmatch(key) is None:
            return None
        found: UUID | None = await self._database.fetchval(sql.use_api_key, secret_hash(key), scope)
        return found
