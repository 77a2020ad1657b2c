"""Schools with several names: their names, and how many users each has.

Triggers find a profile's school when its user names one and when a school's names change. If the result is
another school, all faces of the user are matched again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from db.audit import audit
from db.pages import ByName, CountedPage, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import NotFoundError, SchoolTakenError

NO_SCHOOL = "This school does not exist."

SchoolAction = Literal["added", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class School:
    """A school. users: how many call it by one of its names."""

    id: UUID
    name: str
    domains: list[str]
    aliases: list[str]
    users: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownSchool:
    """A name that users call a school, but that no school has, and how many users do."""

    name: str
    users: int


@dataclass(frozen=True, slots=True)
class SchoolNames:
    """New names and domains of a school: names as `usable_name` returns them, domains as `usable_domain`
    does. None leaves the present ones."""

    name: str | None = None
    domains: Sequence[str] | None = None
    aliases: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class SchoolChange:
    """A school after a change. users_rematched: users whose school is now another one, so that all their
    faces are matched again."""

    school_id: UUID
    action: SchoolAction
    users_rematched: int


class Schools:
    """The table `schools`. Every method raises DatabaseError if the database does not answer. Those that
    write do so in one transaction and raise SchoolTakenError if a name or a domain belongs to another
    school."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, *, limit: int, after: ByName | None = None) -> CountedPage[School, ByName]:
        """The schools by name. after: the `next` of the previous page."""
        rows = await self._database.fetch(sql.list_schools, *(after or (None, None)), limit + 1)
        shown, more = cut_page(rows, limit, "name")
        return CountedPage([_school(row) for row in shown], more, rows[0]["total"])

    async def unknown(self, limit: int) -> list[UnknownSchool]:
        """Names that users call schools, but that no school has, the most frequent first. They may need to be
        added."""
        return [UnknownSchool(**row) for row in await self._database.fetch(sql.list_unknown_schools, limit)]

    async def get(self, school_id: UUID) -> School:
        """Raises NotFoundError."""
        row = await self._database.fetchrow(sql.get_school, school_id)
        if row is None:
            raise NotFoundError(NO_SCHOOL)
        return _school(row)

    async def add(self, name: str, domains: Sequence[str], aliases: Sequence[str]) -> SchoolChange:
        """Add a school."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.hold_schools)
            return await _write(connection, None, SchoolNames(name, domains, aliases))

    async def change(self, school_id: UUID, names: SchoolNames) -> SchoolChange:
        """Change the names or domains of a school. Raises NotFoundError."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.hold_schools)
            known = await connection.fetchrow(sql.get_school, school_id)
            if known is None:
                raise NotFoundError(NO_SCHOOL)
            return await _write(connection, known, names)

    async def put(self, names: SchoolNames, *, dry_run: bool) -> SchoolChange:
        """Add the school of this name, which must be given, or change the existing one.

        dry_run: report what would be done, and do nothing.
        """
        async with self._database.transaction() as connection:
            if not dry_run:
                await connection.execute(sql.hold_schools)
            known = await connection.fetchrow(sql.find_school_by_name, names.name)
            return await _write(connection, known, names, dry_run=dry_run)

    async def remove(self, school_id: UUID) -> SchoolChange:
        """Remove a school. The school of its users is then the name that they call it by. Raises
        NotFoundError."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.hold_schools)
            users = await connection.fetchval(sql.count_users_of_school_change, school_id, [])
            known = await connection.fetchrow(sql.get_school, school_id)
            if known is None:
                raise NotFoundError(NO_SCHOOL)
            await connection.execute(sql.remove_school, school_id)
            before = _named(known["name"], known["domains"], known["aliases"])
            await audit(connection, "school.remove", str(school_id), before=before)
            return SchoolChange(school_id, "changed", users)


async def _write(
    connection: asyncpg.Connection, known: asyncpg.Record | None, names: SchoolNames, *, dry_run: bool = False
) -> SchoolChange:
    """Add a school, or change the existing one."""
    given = (names.name, names.domains, names.aliases)
    before: tuple[str, list[str], list[str]] = ("", [], [])
    if known is not None:
        before = (known["name"], known["domains"], known["aliases"])
    name, domains, aliases = (old if new is None else new for old, new in zip(before, given, strict=True))
    after: tuple[str, list[str], list[str]] = (
        str(name),
        list(dict.fromkeys(domains)),
        list(dict.fromkeys(aliases)),
    )
    school_id = uuid.uuid4() if known is None else known["id"]
    if after == before:
        return SchoolChange(school_id, "unchanged", 0)
    called = [after[0], *after[1], *after[2]]
    taken = await connection.fetchrow(sql.find_taken_school_name, school_id, called)
    if taken is not None:
        raise SchoolTakenError(
            f"{taken['name']!r} belongs to the school {taken['school']!r}; take it away there first.",
            taken["name"],
            str(taken["school_id"]),
            taken["school"],
        )
    users = await connection.fetchval(sql.count_users_of_school_change, school_id, called)
    if not dry_run:
        await connection.execute(sql.add_school if known is None else sql.change_school, school_id, *after)
        await audit(
            connection,
            "school.add" if known is None else "school.change",
            str(school_id),
            before=None if known is None else _named(*before),
            after=_named(*after),
        )
    return SchoolChange(school_id, "added" if known is None else "changed", users)


def _named(name: str, domains: Sequence[str], aliases: Sequence[str]) -> dict[str, object]:
    """A school's names for the audit log."""
    return {"name": name, "domains": list(domains), "aliases": list(aliases)}


def _school(row: asyncpg.Record) -> School:
    return School(
        id=row["id"],
        name=row["name"],
        domains=row["domains"],
        aliases=row["aliases"],
        users=row["users"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
