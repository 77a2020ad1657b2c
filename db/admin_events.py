"""Events for operators: the channel `admin` of the realtime API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from db.pool import Connection, Database
from db.queries import sql

AdminEventKind = Literal["ingestion", "jobs", "gallery", "settings", "users", "audit"]
"""`audit` is told by a trigger, with each row of the audit log."""


async def tell_operators(
    connection: Connection, kind: AdminEventKind, data: Mapping[str, object] | None = None
) -> None:
    """Tell all operators who listen, at the commit of the caller's transaction.

    data: a few values for JSON, without secrets; clients get them beside `kind`.
    """
    await connection.execute(sql.tell_operators, kind, dict(data or {}))


async def tell_of_ended_jobs(database: Database) -> None:
    """Tell operators that jobs have ended, so that they look at the queues again. Raises DatabaseError."""
    await database.execute(sql.tell_of_ended_jobs)
