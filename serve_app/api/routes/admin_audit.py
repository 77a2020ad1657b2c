"""The audit log, for operators."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from serve_app.api.cursors import Cursor, encode_cursor, place_by_time
from serve_app.api.dependencies import Injected, Operator
from serve_app.api.responses import errors
from serve_app.api.topics import Topic
from serve_app.schemas.base import Time
from serve_app.schemas.console import AuditAnswer, AuditEntry
from serve_app.schemas.patterns import STORABLE

router = Topic(prefix="/admin/audit", tags=["admin"])


@router.get("", responses=errors(400, 401, 403))
async def list_audit(  # noqa: PLR0917 - FastAPI names them
    _: Operator,
    services: Injected,
    action: Annotated[
        str | None,
        Query(
            max_length=100,
            pattern=STORABLE,
            description="Only this action, or all of a noun.",
            examples=["settings.change", "settings"],
        ),
    ] = None,
    actor: Annotated[
        str | None,
        Query(
            max_length=100,
            pattern=STORABLE,
            description="Only of this actor, or of all of a kind.",
            examples=["command:ada", "admin"],
        ),
    ] = None,
    since: Annotated[Time | None, Query(description="Only from this time on.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    cursor: Cursor = None,
) -> AuditAnswer:
    """What operators have changed, by page and by command, newest first."""
    page = await services.db.audit_log.page(
        limit=limit, after=place_by_time(cursor), action=action, actor=actor, since=since
    )
    return AuditAnswer(
        entries=[AuditEntry.of(record) for record in page.items], next_cursor=encode_cursor(page.next)
    )
