"""Signing in to the console, and its audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import Field

from db.audit import AuditRecord
from db.console_sessions import ConsoleSession
from serve_app.schemas.base import Schema


class ConsoleSignIn(Schema):
    """What is exchanged for a session."""

    code: str | None = Field(
        None,
        max_length=100,
        description="The code of a link of `semblance console`. Unset: the request has an admin's token.",
    )


class ConsoleSessionAnswer(Schema):
    """A session of the console."""

    id: UUID
    profile_id: UUID | None = Field(
        description="The admin who signed in with an access token; null after a code."
    )
    name: str = Field(description="Of the admin, or `Console`.")
    created_at: datetime
    last_used_at: datetime = Field(description="To the minute.")
    expires_at: datetime

    @classmethod
    def of(cls, session: ConsoleSession) -> Self:
        return cls(
            id=session.id,
            profile_id=session.profile_id,
            name=session.name or "Console",
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            expires_at=session.expires_at,
        )


class ConsoleSessionsAnswer(Schema):
    """A page of sessions."""

    sessions: list[ConsoleSessionAnswer]
    next_cursor: str | None


class AuditEntry(Schema):
    """A change."""

    id: UUID
    at: datetime
    actor: str = Field(
        description="`admin:<profile id>`, `console:<session id>`, `command:<user>` or `service`.",
        examples=["command:ada"],
    )
    action: str = Field(examples=["settings.change"])
    target: str = Field(description="What was changed: an id or a name.")
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, record: AuditRecord) -> Self:
        return cls(
            id=record.id,
            at=record.at,
            actor=record.actor,
            action=record.action,
            target=record.target,
            before=record.before,
            after=record.after,
        )


class AuditAnswer(Schema):
    """A page of the audit log."""

    entries: list[AuditEntry]
    next_cursor: str | None
