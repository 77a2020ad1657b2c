"""Calls of providers of pictures and texts: one row each, whether the call succeeds or fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from db import quotas
from db.pool import Database
from db.queries import sql
from semblance.errors import NotFoundError

GenerationKind = Literal["baby", "reply", "icebreaker", "embed"]
GenerationOutcome = Literal["completed", "failed"]

GENERATION_LIFETIME = timedelta(minutes=6)
"""Longest time that a picture can take. An older call will never end. The provider's deadline is shorter
(`Settings.fal_deadline_s`)."""


@dataclass(frozen=True, slots=True)
class GenerationDay:
    """The calls of a provider's model for a kind that began on a day (UTC), by how they ended. tokens_in,
    tokens_out: of texts. duration_p50_ms, duration_p95_ms: milliseconds of the completed calls, None without
    any."""

    day: date
    kind: GenerationKind
    provider: str
    model: str
    completed: int
    failed: int
    processing: int
    tokens_in: int
    tokens_out: int
    duration_p50_ms: float | None
    duration_p95_ms: float | None


class GenerationLogs:
    """The calls for baby pictures in `generation_logs`, and the days of all calls. Every method raises
    DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, profile_id: UUID, match_id: UUID, *, provider: str, model: str) -> UUID:
        """Record that a call begins; returns the id of its row.

        Calls cost money, so calls in progress count against today's quota as if they had succeeded. Calls
        that a dead process left behind are marked as failed.

        Raises QuotaExceededError if the limit of the day is reached, NotFoundError if the match is
        gone.
        """
        await self._database.execute(sql.fail_abandoned_generations, GENERATION_LIFETIME)
        async with self._database.transaction() as connection:
            # Two requests of one user must not both count before either is recorded.
            await connection.execute(sql.lock_profile, profile_id)
            in_progress = await connection.fetchval(sql.count_generations_in_progress, profile_id)
            await quotas.admit(connection, profile_id, "baby_generation", in_progress)
            log_id: UUID | None = await connection.fetchval(
                sql.start_generation, profile_id, match_id, provider, model
            )
        if log_id is None:
            raise NotFoundError("This match does not exist.")
        return log_id

    async def finish(
        self,
        log_id: UUID,
        outcome: GenerationOutcome,
        *,
        attempts: int,
        duration: timedelta,
        error: str | None,
    ) -> None:
        """Record how a call without a stored picture ended, unless that is already recorded.

        Args:
            attempts: requests sent to the provider, at least 1.
            error: for operators; must contain no secret.
        """
        await self._database.execute(
            sql.finish_generation, log_id, outcome, attempts, _milliseconds(duration), error, None
        )

    async def days(self, count: int) -> list[GenerationDay]:
        """The last `count` days by kind, today first; days without calls are left out."""
        return [GenerationDay(**row) for row in await self._database.fetch(sql.generation_days, count)]


async def complete(
    connection: asyncpg.Connection, log_id: UUID, *, baby_id: UUID, attempts: int, duration: timedelta
) -> None:
    """Record a call as completed, in the transaction that stores its picture. Until then it counts as a call
    in progress, afterwards as a use of the quota."""
    await connection.execute(
        sql.finish_generation, log_id, "completed", attempts, _milliseconds(duration), None, baby_id
    )


def _milliseconds(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1000)
