"""The audit log: who changed what, when, from what to what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from db.pages import ByTime, Page, cut_page
from db.pool import Connection, Database
from db.queries import sql
from semblance.actor import actor_var

MOST_NAMED = 100
"""Most ids that a record names."""


async def audit(
    connection: Connection,
    action: str,
    target: str,
    *,
    before: Mapping[Any, Any] | None = None,
    after: Mapping[Any, Any] | None = None,
) -> None:
    """Record a change in the caller's transaction, by the actor of `actor_var`.

    Args:
        connection: inside the transaction of the change.
        action: `noun.verb`, such as `settings.change`.
        target: what was changed: an id or a name.
        before: what changed, as it was; values for JSON, never a secret.
        after: the same as it is now. Of many changed rows the count, and up to 100 ids.
    """
    await connection.execute(
        sql.add_audit_record,
        actor_var.get(),
        action,
        target,
        None if before is None else dict(before),
        None if after is None else dict(after),
    )


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A change as recorded. actor: as `actor_var` describes it."""

    id: UUID
    at: datetime
    actor: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditLog:
    """The table `audit_log`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self,
        *,
        limit: int,
        after: ByTime | None = None,
        action: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
    ) -> Page[AuditRecord, ByTime]:
        """The records, newest first.

        Args:
            limit: of the page.
            after: the `next` of the previous page.
            action: only of this action, or of all of a noun, such as `settings`.
            actor: only of this actor, or of all of a kind, such as `command`.
            since: only from this time on.
        """
        rows = await self._database.fetch(
            sql.list_audit_records, *(after or (None, None)), action, actor, since, limit + 1
        )
        shown, more = cut_page(rows, limit, "at")
        return Page([AuditRecord(**row) for row in shown], more)
