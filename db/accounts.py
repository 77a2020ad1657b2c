"""People of the app, as operators see them, keep them out, promote them and delete them.

The application's login does not see blocked profiles at all. What is done here runs in functions of the
database, with the rights of its owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.admin_events import tell_operators
from db.audit import audit
from db.pages import ByTime, Page, cut_page
from db.pool import Connection, Database
from db.profiles import Role, StatedGender
from db.queries import sql
from semblance.errors import BadInputError, ConflictError, NotFoundError


@dataclass(frozen=True, slots=True)
class AccountFilter:
    """Which people. beginning: of the name, the e-mail address or the school, in any letter case."""

    beginning: str = ""
    role: Role | None = None
    blocked: bool | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the app.

    image_path: key of the picture of the default face. blocked_at: since when operators keep the user out;
    None for all others. photos, matches: how many there are, also while the user is blocked. uploads_today,
    generations_today: how much of the daily limits is used.
    """

    id: UUID
    name: str | None
    email: str | None
    gender: StatedGender | None
    school: str | None
    role: Role
    image_path: str | None
    last_seen: datetime | None
    blocked_at: datetime | None
    created_at: datetime
    photos: int
    matches: int
    uploads_today: int
    generations_today: int

    @property
    def label(self) -> str:
        """What people call the account: the name, else the e-mail address, else the id."""
        return self.name or self.email or str(self.id)


class Accounts:
    """The users of `profiles`, for operators. Every method raises DatabaseError if the database does not
    answer. Changes are recorded in the audit log and told to operators.

    At all times there is an admin who is not blocked, however many operators act at once. by: the admin who
    acts, who cannot lock themselves out; None for a session that a code opened.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, which: AccountFilter, *, limit: int, after: ByTime | None = None
    ) -> Page[Account, ByTime]:
        """Users, the latest to sign up first. after: the `next` of the previous page."""
        rows = await self._database.fetch(
            sql.find_accounts,
            *(None, which.beginning, which.role, which.blocked),
            *(after or (None, None)),
            limit + 1,
        )
        shown, more = cut_page(rows, limit, "created_at")
        return Page([Account(**row) for row in shown], more)

    async def get(self, profile_id: UUID) -> Account:
        """Raises NotFoundError if nobody has this id."""
        async with self._database.transaction(readonly=True) as connection:
            return await _get(connection, profile_id)

    async def set_role(self, profile_id: UUID, role: Role, *, by: UUID | None) -> None:
        """Change a role.

        Raises NotFoundError, and ConflictError for the last admin and for the own account.
        """
        _check_other(profile_id, by)
        async with self._database.transaction() as connection:
            if await _changed(connection, sql.change_role, profile_id, role):
                before = {"role": "user" if role == "admin" else "admin"}
                await _note(connection, "user.role", profile_id, before=before, after={"role": role})

    async def set_blocked(self, profile_id: UUID, blocked: bool, *, by: UUID | None) -> None:
        """Keep a user out, or let them in again.

        A blocked user is signed out everywhere and shown nowhere: not in the feed, in matches or in searches.
        Their photos and matches are kept, and shown again to everybody when the block ends; what they missed
        is matched then.

        Raises NotFoundError, and ConflictError for the last admin and for the own account.
        """
        _check_other(profile_id, by)
        async with self._database.transaction() as connection:
            if await _changed(connection, sql.change_block, profile_id, blocked):
                action = "user.block" if blocked else "user.unblock"
                values = {"before": {"blocked": not blocked}, "after": {"blocked": blocked}}
                await _note(connection, action, profile_id, **values)

    async def delete(self, profile_id: UUID, name: str, *, by: UUID | None) -> None:
        """Delete a user with all that belongs to them; match workers remove the pictures, which are no longer
        served.

        Args:
            profile_id: whom.
            name: the account's `label`, repeated, because this cannot be undone.
            by: as above.

        Raises NotFoundError, BadInputError for another name, and ConflictError for the last admin and for the
        own account.
        """
        _check_other(profile_id, by)
        async with self._database.transaction() as connection:
            account = await _get(connection, profile_id)
            if name != account.label:
                raise BadInputError("This is not the name of the account; repeat it exactly.")
            if await _changed(connection, sql.delete_account, profile_id):
                # Whose it was is not kept.
                before = {"role": account.role, "photos": account.photos, "matches": account.matches}
                await _note(connection, "user.delete", profile_id, before=before)


async def _get(connection: Connection, profile_id: UUID) -> Account:
    row = await connection.fetchrow(sql.find_accounts, profile_id, "", None, None, None, None, 1)
    if row is None:
        raise _nobody()
    return Account(**row)


async def _changed(connection: Connection, query: str, profile_id: UUID, *arguments: object) -> bool:
    """Whether anything changed. Raises what the outcome of the database's function stands for."""
    outcome = await connection.fetchval(query, profile_id, *arguments)
    if outcome == "missing":
        raise _nobody()
    if outcome == "last_admin":
        raise ConflictError("There is no other admin. Make somebody else an admin first.")
    return bool(outcome == "changed")


async def _note(connection: Connection, action: str, profile_id: UUID, **values: Any) -> None:
    await audit(connection, action, str(profile_id), **values)
    await tell_operators(connection, "users", {"id": str(profile_id)})


def _check_other(profile_id: UUID, by: UUID | None) -> None:
    if profile_id == by:
        raise ConflictError("This is your own account. Another admin can do this.")


def _nobody() -> NotFoundError:
    return NotFoundError("No user has this id.")
