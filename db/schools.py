"""Schools that go by several names: what they are called, and how many users are of each.

A profile's school is found by triggers, whenever it is named and whenever a school's names change; then all
faces of those whose school is another one are matched again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import asyncpg

from db.pages import ByName, CountedPage, cut_page
from db.pool import Database
from db.queries import sql
from semblance.errors import NotFoundError, SchoolTakenError

NO_SCHOOL = "There is no such school."

SchoolAction = Literal["added", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class School:
    """A school; users: how many call it by one of its names."""

    id: UUID
    name: str
    domains: list[str]
    aliases: list[str]
    users: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class UnknownSchool:
    """What so many users call a school that is not known."""

    name: str
    users: int


@dataclass(frozen=True, slots=True)
class SchoolNames:
    """What a school is to be called: names as `usable_name` gives them, domains as `usable_domain` does. None
    leaves what is there."""

    name: str | None = None
    domains: Sequence[str] | None = None
    aliases: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class SchoolChange:
    """What became of a school. users_rematched: users who are of another school than before, all of whose
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
        """The schools by name. after: the `next` of the page before."""
        rows = await self._database.fetch(sql.list_schools, *(after or (None, None)), limit + 1)
        shown, more = cut_page(rows, limit, "name")
        return CountedPage([_school(row) for row in shown], more, rows[0]["total"])

    async def unknown(self, limit: int) -> list[UnknownSchool]:
        """What users call schools that are not known, the most frequent first: those to be added."""
        return [UnknownSchool(**row) for row in await self._database.fetch(sql.list_unknown_schools, limit)]

    async def get(self, school_id: UUID) -> School:
        """Raises NotFoundError."""
        row = await self._database.fetchrow(sql.get_school, school_id)
        if row is None:
            raise NotFoundError(NO_SCHOOL)
        return _school(row)

    async def add(self, name: str, domains: Sequence[str], aliases: Sequence[str]) -> SchoolChange:
        """A new school."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.hold_schools)
            return await _write(connection, None, SchoolNames(name, domains, aliases))

    async def change(self, school_id: UUID, names: SchoolNames) -> SchoolChange:
        """Call a school otherwise. Raises NotFoundError."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.hold_schools)
            known = await connection.fetchrow(sql.get_school, school_id)
            if known is None:
                raise NotFoundError(NO_SCHOOL)
            return await _write(connection, known, names)

    async def put(self, names: SchoolNames, *, dry_run: bool) -> SchoolChange:
        """Add the school of this name, which must be given, or change the one there is.

        dry_run: tell what would be done, and do nothing.
        """
        async with self._database.transaction() as connection:
            if not dry_run:
                await connection.execute(sql.hold_schools)
            known = await connection.fetchrow(sql.find_school_by_name, names.name)
            return await _write(connection, known, names, dry_run=dry_run)

    async def remove(self, school_id: UUID) -> SchoolChange:
        """Forget a school: its users are then of what they call it. Raises NotFoundError."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.hold_schools)
            users = await connection.fetchval(sql.count_users_of_school_change, school_id, [])
            if not await connection.fetchval(sql.remove_school, school_id):
                raise NotFoundError(NO_SCHOOL)
            return SchoolChange(school_id, "changed", users)


async def _write(
    connection: asyncpg.Connection, known: asyncpg.Record | None, names: SchoolNames, *, dry_run: bool = False
) -> SchoolChange:
    """Add a school, or change the one that is known."""
    given = (names.name, names.domains, names.aliases)
    before = ("", [], []) if known is None else (known["name"], known["domains"], known["aliases"])
    name, domains, aliases = (old if new is None else new for old, new in zip(before, given, strict=True))
    after = (name, list(dict.fromkeys(domains)), list(dict.fromkeys(aliases)))
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
    return SchoolChange(school_id, "added" if known is None else "changed", users)


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
