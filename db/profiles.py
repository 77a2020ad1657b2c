"""Profiles of users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from db.pool import Database
from db.queries import queries

StatedGender = Literal["male", "female", "other"]
Role = Literal["user", "admin"]

_GET = queries["get_profile"]
_CREATE = queries["create_profile"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as stored; `id` is the identity provider's."""

    id: UUID
    email: str | None
    name: str | None
    gender: StatedGender | None
    school: str | None
    role: Role
    default_face_id: UUID | None
    last_seen: datetime | None
    created_at: datetime


class Profiles:
    """The users of `profiles`. Every method raises DatabaseError where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, profile_id: UUID) -> Profile | None:
        """The profile of this id, if there is one."""
        row = await self._database.fetchrow(_GET, profile_id)
        return None if row is None else Profile(**row)

    async def create(
        self, profile_id: UUID, *, email: str | None, name: str | None, school: str | None
    ) -> None:
        """Add the profile unless it is there."""
        await self._database.execute(_CREATE, profile_id, email, name, school)
