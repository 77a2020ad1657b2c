"""Events for operators: the channel `admin` of the realtime API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from db.pool import Connection
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
