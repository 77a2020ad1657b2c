"""Settings that admins can change at run time: the table `system_settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from db.admin_events import tell_operators
from db.audit import audit
from db.pool import Database
from db.queries import sql
from semblance.weights import Weights


@dataclass(frozen=True, slots=True)
class SystemSettings:
    """All settings; a setting without a row has its default.

    matching_weights: of the six factors of a match.
    match_threshold: lowest score of a match that is kept, 0..1.
    allow_non_edu_emails: whether addresses that belong to no school may sign up. daily_photo_upload_limit,
    daily_baby_generation_limit: how many a user may make a day (UTC); -1 is unlimited, 0 allows none.
    text_generation: whether texts are suggested to users who have switched it on. profile_search: whether
    people find others of their school by what these say about themselves. message_search: whether users who
    want it find messages of their chats by what these mean.
    updated_at, updated_by: of the latest change; updated_by is None for a change by hand.
    """

    matching_weights: Weights = field(default_factory=Weights)
    match_threshold: float = 0.5
    allow_non_edu_emails: bool = False
    daily_photo_upload_limit: int = 20
    daily_baby_generation_limit: int = 10
    text_generation: bool = False
    profile_search: bool = False
    message_search: bool = False
    updated_at: datetime | None = None
    updated_by: UUID | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The settings whose stored values these are, of whenever they were changed."""
        # Converted to the default's type: the table also takes 20.0 for 20, and 1 for 1.0.
        values: dict[str, Any] = {
            key: type(default)(stored[key]) for key, default in _DEFAULTS.items() if key in stored
        }
        if "matching_weights" in stored:
            values["matching_weights"] = Weights(**stored["matching_weights"])
        return cls(**values)


_DEFAULTS = {
    "match_threshold": SystemSettings().match_threshold,
    "allow_non_edu_emails": SystemSettings().allow_non_edu_emails,
    "daily_photo_upload_limit": SystemSettings().daily_photo_upload_limit,
    "daily_baby_generation_limit": SystemSettings().daily_baby_generation_limit,
    "text_generation": SystemSettings().text_generation,
    "profile_search": SystemSettings().profile_search,
    "message_search": SystemSettings().message_search,
}
"""The settings that are stored as plain values."""


class SystemSettingsTable:
    """The rows of `system_settings`. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self) -> SystemSettings:
        """The current settings."""
        rows = await self._database.fetch(sql.get_system_settings)
        settings = SystemSettings.of({row["key"]: row["value"] for row in rows})
        if not rows:
            return settings
        latest = max(rows, key=lambda row: row["updated_at"])
        return replace(settings, updated_at=latest["updated_at"], updated_by=latest["updated_by"])

    async def change(self, changes: Mapping[str, object], *, by: UUID | None) -> None:
        """Change some settings by name, all or none; weights as Weights. by: the admin; None if no profile is
        known.

        Raises QueryError for a value that the table refuses.
        """
        values = {
            key: value.as_dict() if isinstance(value, Weights) else value for key, value in changes.items()
        }
        if not values:
            return
        async with self._database.transaction() as connection:
            rows = await connection.fetch(sql.get_system_settings_before, list(values))
            await connection.execute(sql.set_system_settings, values, by)
            before = {row["key"]: row["value"] for row in rows}
            await audit(connection, "settings.change", ", ".join(sorted(values)), before=before, after=values)
            await tell_operators(connection, "settings", {"keys": sorted(values)})
