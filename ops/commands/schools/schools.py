"""`semblance schools`."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from rich.markup import escape
from rich.table import Column, Table

from batch.progress import JobProgress
from db.schools import SchoolChange, Schools, UnknownSchool
from ops.commands.database import connected, open_database
from ops.commands.output import console
from ops.commands.schools.school_file import SchoolRow, read_school_file
from semblance.errors import SchoolTakenError
from semblance.settings import Settings

_SHOWN = 100
"""Most schools listed in a table."""

_PAGE = 500

_MOST_UNKNOWN = 1000


def import_schools(settings: Settings, file: Path, *, dry_run: bool) -> bool:
    """Add and update the schools in a file, each in its own transaction, and print the outcome. Returns
    whether all rows were valid. Raises BadInputError for a file that cannot be read."""
    content = read_school_file(file)
    for remark in content.remarks:
        console.print(f"[yellow]![/] {escape(remark)}", soft_wrap=True)
    with open_database(settings) as dsn:
        return asyncio.run(_import(dsn, content.rows, dry_run=dry_run))


async def _import(dsn: str, rows: list[tuple[str, SchoolRow]], *, dry_run: bool) -> bool:
    done: Counter[str] = Counter()
    rematched = 0
    would = "would be " if dry_run else ""
    table = Table("School", "", Column("Users rematched", justify="right"))
    async with connected(dsn) as database:
        schools = Schools(database)
        with JobProgress(console, "schools", len(rows)) as progress:
            for label, row in rows:
                outcome = await _put(schools, row, dry_run=dry_run)
                action = "not taken" if isinstance(outcome, str) else outcome.action
                users = 0 if isinstance(outcome, str) else outcome.users_rematched
                done[action] += 1
                rematched += users
                progress.advance(1, action == "not taken")
                if action != "unchanged" and table.row_count < _SHOWN:
                    why = f": {escape(outcome)}" if isinstance(outcome, str) else ""
                    table.add_row(escape(label), f"{would}{action}{why}", f"{users:,}")
    if table.row_count:
        console.print(table)
    counts = ", ".join(
        f"{done[action]:,} {action}" for action in ("added", "changed", "unchanged", "not taken")
    )
    console.print(f"Of {len(rows):,} schools {would}{counts}.", soft_wrap=True)
    console.print(f"{rematched:,} users {would or 'are '}matched again.", soft_wrap=True)
    return not done["not taken"]


async def _put(schools: Schools, row: SchoolRow, *, dry_run: bool) -> SchoolChange | str:
    """The change that a row made, or why it was refused."""
    if isinstance(row, str):
        return row
    try:
        return await schools.put(row, dry_run=dry_run)
    except SchoolTakenError as exc:
        return exc.message


def list_schools(settings: Settings) -> None:
    """Print a table of all schools."""

    async def show(dsn: str) -> Table:
        table = Table(
            Column("School", overflow="fold"),
            Column("Domains", overflow="fold"),
            Column("Aliases", overflow="fold"),
            Column("Users", justify="right"),
        )
        async with connected(dsn) as database:
            schools, after, more = Schools(database), None, True
            while more:
                page = await schools.page(limit=_PAGE, after=after)
                for school in page.items:
                    table.add_row(
                        escape(school.name),
                        escape("\n".join(school.domains)),
                        escape("\n".join(school.aliases)),
                        f"{school.users:,}",
                    )
                after, more = page.next, page.next is not None
        return table

    with open_database(settings) as dsn:
        console.print(asyncio.run(show(dsn)))


def list_unknown_schools(settings: Settings) -> None:
    """Print the names that users give and no known school has, the most frequent first."""

    async def read(dsn: str) -> list[UnknownSchool]:
        async with connected(dsn) as database:
            return await Schools(database).unknown(_MOST_UNKNOWN)

    table = Table(Column("Name", overflow="fold"), Column("Users", justify="right"))
    with open_database(settings) as dsn:
        for school in asyncio.run(read(dsn)):
            table.add_row(escape(school.name), f"{school.users:,}")
    console.print(table)
