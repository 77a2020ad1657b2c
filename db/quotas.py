"""Daily limits of users, counted in the database, for all replicas."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal
from uuid import UUID

import asyncpg

from db.pool import Database
from db.queries import sql
from semblance.errors import DuplicatePictureError, QuotaExceededError
from semblance.metrics import QUOTA_REFUSALS

QuotaKind = Literal["photo_upload", "baby_generation"]


_SETTINGS: dict[QuotaKind, str] = {
    "photo_upload": "daily_photo_upload_limit",
    "baby_generation": "daily_baby_generation_limit",
}
_REFUSALS: dict[QuotaKind, str] = {
    "photo_upload": "Daily photo upload limit reached.",
    "baby_generation": "Daily baby generation limit reached.",
}


async def take(connection: asyncpg.Connection, profile_id: UUID, kind: QuotaKind) -> date:
    """Count one use of today (UTC), in the transaction of the use itself, whose rollback undoes both.
    Transactions of one user wait for each other here, so a limit is never exceeded.

    Returns the day it is counted for. Raises QuotaExceededError if the limit of the day is reached,
    DatabaseError.
    """
    day: date | None = await connection.fetchval(sql.take_quota, profile_id, kind, _SETTINGS[kind])
    if day is None:
        raise await _refused(connection, profile_id, kind)
    return day


async def take_upload(database: Database, profile_id: UUID, image_hash: str) -> date:
    """Count an upload of a photo before it begins, unless the user has the photo already. Uploads of one user
    wait for each other, as in `take`. The count is on disk as soon as what the upload stores.

    Returns the day it is counted for. Raises DuplicatePictureError, QuotaExceededError, DatabaseError.
    """
    kind: QuotaKind = "photo_upload"
    row = await database.fetchrow(sql.take_upload, profile_id, _SETTINGS[kind], image_hash)
    if row is None:
        raise AssertionError("This query has one row.")
    if row["known"]:
        raise DuplicatePictureError
    day: date | None = row["day"]
    if day is None:
        raise await _refused(database, profile_id, kind)
    return day


async def give_back(database: Database, profile_id: UUID, kind: QuotaKind, day: date) -> None:
    """Undo a use that `take` counted for `day`. Raises DatabaseError."""
    await database.execute(sql.give_quota_back, profile_id, kind, day)


async def admit(connection: asyncpg.Connection, profile_id: UUID, kind: QuotaKind, in_progress: int) -> None:
    """Raise QuotaExceededError if `take` would raise it now, to avoid work that would be wasted. in_progress:
    uses of today that are not counted yet, but count here."""
    use = await connection.fetchrow(sql.quota_use, profile_id, kind, _SETTINGS[kind])
    if use is not None and use["limit"] >= 0 and use["current"] + in_progress >= use["limit"]:
        raise _exceeded(kind, {**use, "current": use["current"] + in_progress})


async def _refused(
    connection: asyncpg.Connection | Database, profile_id: UUID, kind: QuotaKind
) -> QuotaExceededError:
    use = await connection.fetchrow(sql.quota_use, profile_id, kind, _SETTINGS[kind])
    if use is None:
        raise AssertionError("This query has one row.")
    return _exceeded(kind, use)


def _exceeded(kind: QuotaKind, use: Mapping[str, Any]) -> QuotaExceededError:
    QUOTA_REFUSALS.count(quota=kind)
    return QuotaExceededError(
        _REFUSALS[kind], kind, use["limit"], use["current"], use["resets_at"], use["retry_after"]
    )
