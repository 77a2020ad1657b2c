"""Removes old rows, some at a time, so that nobody waits long and no transaction stays open for long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from db.pool import Database
from db.queries import sql

AT_ONCE = 1000
"""Rows of one statement."""

QUOTAS_KEPT = timedelta(days=30)
"""Only those of today count."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How long rows stay that are otherwise never removed."""

    notifications: timedelta
    generation_logs: timedelta
    face_searches: timedelta


async def remove_in_steps(database: Database, query: str, *terms: object) -> int:
    """Run a statement that removes as many rows as its last parameter says and returns how many, until none
    is left. Returns how many there were. Raises DatabaseError."""
    removed = 0
    while count := int(await database.fetchval(query, *terms, AT_ONCE)):
        removed += count
    return removed


async def remove_old(database: Database, kept: Kept) -> int:
    """Remove what is older than `kept` says, and daily quotas after QUOTAS_KEPT; returns how many rows.
    Several processes may do so at the same time. Raises DatabaseError."""
    return sum([
        await remove_in_steps(database, sql.prune_notifications, kept.notifications),
        await remove_in_steps(database, sql.prune_generation_logs, kept.generation_logs),
        await remove_in_steps(database, sql.prune_face_searches, kept.face_searches),
        await remove_in_steps(database, sql.prune_quotas, QUOTAS_KEPT),
    ])  # fmt: skip
