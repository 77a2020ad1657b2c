"""Profiles of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from db.audit import audit
from db.pool import Database
from db.queries import sql
from semblance.errors import (
    BlockedAccountError,
    EmailTakenError,
    NotFoundError,
    ReferenceGoneError,
    UnauthorizedError,
)

StatedGender = Literal["male", "female", "other"]
Role = Literal["user", "admin"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A user as stored. id: that of the identity provider. last_seen: also None while `show_presence` is off,
    because it is then not recorded. text_generation: whether they want texts to be suggested.
    message_search: whether they want messages of their chats to be found by what these mean. bio: what they
    say about themselves, which others of their school find them by."""

    id: UUID
    email: str | None
    name: str | None
    gender: StatedGender | None
    school: str | None
    role: Role
    default_face_id: UUID | None
    last_seen: datetime | None
    show_presence: bool
    text_generation: bool
    message_search: bool
    bio: str | None
    created_at: datetime


class Profiles:
    """The users of `profiles`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, profile_id: UUID) -> Profile | None:
        """The profile with this id, if there is one."""
        row = await self._database.fetchrow(sql.get_profile, profile_id)
        return None if row is None else Profile(**row)

    async def of_session(self, profile_id: UUID, session: bytes) -> Profile | None:
        """As `get`, for a request of a session. Raises UnauthorizedError if the session was revoked
        (`db.sessions`), and BlockedAccountError if operators have blocked the user."""
        [row] = await self._database.fetch(sql.get_profile_of_session, profile_id, session)
        columns = dict(row)
        if columns.pop("is_revoked"):
            raise UnauthorizedError("You have signed out; sign in again.")
        if columns.pop("is_blocked"):
            raise BlockedAccountError
        return None if columns["id"] is None else Profile(**columns)

    async def create(
        self,
        profile_id: UUID,
        *,
        email: str | None,
        name: str | None,
        gender: StatedGender | None,
        school: str | None,
    ) -> Profile:
        """Add a user's profile, or return the existing one with this id, even if several requests add it at
        the same time.

        Raises EmailTakenError if another profile has the e-mail address, and UnauthorizedError if profiles
        belong to accounts (auth.users), as on Supabase, and this account was deleted.
        """
        try:
            row = await self._database.fetchrow(sql.create_profile, profile_id, email, name, gender, school)
        except ReferenceGoneError as exc:
            raise UnauthorizedError("This account no longer exists.") from exc
        profile = await self.get(profile_id) if row is None else Profile(**row)
        if profile is None:
            raise EmailTakenError(
                "Another profile has this e-mail address already; sign in to the account it belongs to."
            )
        return profile

    async def update(self, profile_id: UUID, changes: Mapping[str, str | bool | None]) -> Profile | None:
        """Set the given ones of `name`, `gender`, `school`, `default_face_id`, `show_presence`,
        `text_generation`, `message_search` and `bio`; None clears a value. Returns the changed profile.
        Without a school, a profile has the school of its e-mail address, if any.

        Returns None, and changes nothing, if the default face is not the user's own or the profile is gone.
        """
        row = await self._database.fetchrow(sql.update_profile, profile_id, dict(changes))
        return None if row is None else Profile(**row)

    async def school_of_address(self, email: str | None) -> str | None:
        """The school that an e-mail address belongs to: the longest domain of a school in `schools` at or
        above the address, else the name registered below `.edu`, `.edu.xx` or `.ac.xx`. None for other
        addresses, even if they may sign up: otherwise all users of a public mail provider would be at one
        school.
        """
        school: str | None = await self._database.fetchval(sql.school_of_address, email)
        return school

    async def set_role(self, email: str, role: Role) -> None:
        """Change the role of the user with this e-mail address; needs the rights of the database's owner.

        Raises NotFoundError if nobody with that address has signed in yet.
        """
        async with self._database.transaction() as connection:
            changed = await connection.fetchrow(sql.set_role, email.lower(), role)
            if changed is None:
                raise NotFoundError(f"Nobody with the e-mail {email} has signed in yet.")
            before = {"role": changed["role_before"]}
            await audit(connection, "profile.role", str(changed["id"]), before=before, after={"role": role})

    async def admins(self) -> list[Profile]:
        """All admins, by e-mail."""
        return [Profile(**row) for row in await self._database.fetch(sql.list_admins)]

    async def updated_at(self, profile_id: UUID) -> datetime | None:
        """When the row was last changed; None if it is gone."""
        changed: datetime | None = await self._database.fetchval(sql.profile_updated_at, profile_id)
        return changed

    async def default_image(self, profile_id: UUID) -> str | None:
        """The storage key of the default face's picture, if there is one."""
        key: str | None = await self._database.fetchval(sql.default_image, profile_id)
        return key
