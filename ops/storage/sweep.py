"""Comparing the picture store with the database: remove pictures that no row names, report rows whose picture
is missing.

A picture is stored before its row and removed after it, so that a crash in between leaves a picture without a
row, never the reverse. Uploads in progress look the same; a grace period spares them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from db.ingestions import STAGING
from db.pool import Database
from db.stored_pictures import Comparison, PictureRow, compare_pictures
from semblance.errors import ConfigurationError
from semblance.storage.locations import COPIES
from semblance.storage.pictures import picture_exists
from semblance.storage.store import Storage, StoredObject

FOLDERS = ("faces", "babies", "celebrities", COPIES, STAGING)
"""Folders of the picture store whose pictures belong to rows."""

_AT_ONCE = 16
"""Requests to the picture store in flight. A bucket answers one in about 10 ms."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """Numbers of pictures, and sizes in bytes.

    Attributes:
        objects: stored pictures.
        orphans: those of them without a row and older than the grace period; removed unless it was a dry run.
        dangling: rows whose picture is missing.
    """

    objects: int = 0
    objects_size: int = 0
    orphans: int = 0
    orphans_size: int = 0
    dangling: int = 0


Progress: TypeAlias = Callable[[str, int], None]
"""Called with the current work and how much of it is done."""


async def sweep(
    database: Database,
    storage: Storage,
    *,
    grace: timedelta,
    dry_run: bool,
    force: bool,
    on_progress: Progress,
    on_dangling: Callable[[PictureRow], None],
) -> SweepReport:
    """Compare all pictures with all rows. Memory does not grow with their number: the server keeps the
    listing in a temporary table, and one transaction stays open meanwhile.

    Args:
        database: of the service.
        storage: the picture store.
        grace: how long a picture may be without a row. It must exceed the time that uploads take.
        dry_run: remove nothing.
        force: continue if no row names any of the pictures. That is refused otherwise, since it usually means
            that picture store and database do not belong together.
        on_progress: called as the work advances.
        on_dangling: called for each row whose picture is missing. Rows are never removed.

    Raises ConfigurationError, DatabaseError, StorageError.
    """
    deadline = datetime.now(UTC) - grace
    async with compare_pictures(database) as comparison:
        report = await _list(storage, comparison, on_progress)
        if report.objects and not force and not await comparison.count_named():
            raise ConfigurationError(
                f"No row of this database names any of the {report.objects:,} stored pictures. Check that "
                "database and picture store belong together; if they do, use --force."
            )
        report = replace(report, dangling=await _find_dangling(storage, comparison, on_progress, on_dangling))
        orphans = orphans_size = 0
        async for found in comparison.orphans(deadline):
            removed = found if dry_run else await _remove(storage, found, deadline)
            orphans += len(removed)
            orphans_size += sum(picture.size for picture in removed)
            on_progress("orphans", orphans)
    return replace(report, orphans=orphans, orphans_size=orphans_size)


async def _list(storage: Storage, comparison: Comparison, on_progress: Progress) -> SweepReport:
    number = size = 0
    for folder in FOLDERS:
        async for found in storage.objects(folder):
            await comparison.add(found)
            number += len(found)
            size += sum(picture.size for picture in found)
            on_progress("listed", number)
    return SweepReport(objects=number, objects_size=size)


async def _find_dangling(
    storage: Storage,
    comparison: Comparison,
    on_progress: Progress,
    on_dangling: Callable[[PictureRow], None],
) -> int:
    number = 0
    async for rows in comparison.missing():
        # Some were added after the listing, others are being deleted.
        absent = [row for row, there in zip(rows, await _exist(storage, rows), strict=True) if not there]
        for row in await comparison.still_there(absent):
            number += 1
            on_dangling(row)
        on_progress("dangling", number)
    return number


async def _exist(storage: Storage, rows: Sequence[PictureRow]) -> list[bool]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def exists(row: PictureRow) -> bool:
        async with turns:
            return await picture_exists(storage, row.table, row.key)

    return await asyncio.gather(*map(exists, rows))


async def _remove(storage: Storage, found: Sequence[StoredObject], deadline: datetime) -> list[StoredObject]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def remove(picture: StoredObject) -> bool:
        async with turns:
            # Checked again: a repeated ingestion stores a picture under the same key.
            current = await storage.find(picture.key)
            if current is None or current.last_modified >= deadline:
                return False
            await storage.delete(picture.key)
            return True

    removed = await asyncio.gather(*map(remove, found))
    return [picture for picture, done in zip(found, removed, strict=True) if done]
