"""The queue of texts to make, and the drafts that it leads to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import asyncpg

from db.admin_events import tell_of_ended_jobs
from db.jobs import (
    FAILURES_SHOWN,
    SPEED_WINDOW,
    Backlog,
    Failure,
    JobStats,
    JobStatus,
    StatusCount,
    backoff,
    carry_trace,
)
from db.messages import Message
from db.pool import Database
from db.queries import sql
from db.retention import remove_in_steps
from semblance.errors import (
    ForbiddenError,
    IdempotencyKeyReusedError,
    NotFoundError,
    QuotaExceededError,
)

InferenceKind = Literal["reply", "icebreaker", "embed"]

Effect = Callable[[asyncpg.Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ClaimedInference:
    """A job that `worker` may work on until its lease ends. attempt: counts from 1. recipient_id: for whom a
    reply is suggested. traceparent: of the request that queued it, if that was traced."""

    id: UUID
    kind: InferenceKind
    profile_id: UUID
    message_id: UUID | None
    recipient_id: UUID | None
    input: dict[str, Any]
    attempt: int
    max_attempts: int
    worker: UUID
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes texts, as `generation_logs` names them."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class Use:
    """What an attempt used. tokens_in, tokens_out: None where nothing counts them. seconds: the provider
    took."""

    tokens_in: int | None
    tokens_out: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class InferenceJob:
    """A job as the user sees it whose message it is about."""

    id: UUID
    kind: InferenceKind
    message_id: UUID | None
    status: JobStatus
    attempts: int
    max_attempts: int
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A message and the job that suggests a reply to it."""

    job_id: UUID
    message_id: UUID
    status: JobStatus


@dataclass(frozen=True, slots=True)
class NewText:
    """A message to which a reply is to be suggested. title, preview: of its notification. key: with which the
    request may be repeated."""

    connection_id: UUID
    sender_id: UUID
    content: str
    title: str
    preview: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens that a user's texts may use a day (UTC), and the most that one text uses."""

    daily: int
    per_text: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A suggested reply, which only the user it is for sees. id: of its job. message_id: what it answers."""

    id: UUID
    connection_id: UUID
    message_id: UUID
    content: str
    model: str
    created_at: datetime


class InferenceQueue:
    """The jobs of some kinds, as `semblance.leased_queue.LeasedQueue` offers them to a worker.

    A job's attempt is also a fencing token, as in `db.jobs.MatchJobs`. Every method raises DatabaseError if
    the database does not answer.
    """

    def __init__(self, database: Database, kinds: Collection[InferenceKind], author: Author) -> None:
        """
        Args:
            kinds: What the worker can do; jobs of other kinds stay.
            author: Who is logged.
        """
        self._database = database
        self._kinds = list(kinds)
        self._author = author

    async def claim(self, worker: UUID, limit: int, lease: timedelta) -> list[ClaimedInference]:
        """Claim up to `limit` due jobs, oldest first. First, jobs whose lease has ended return to the queue,
        or fail if they have no attempt left."""
        author = self._author
        await self._database.execute(
            sql.return_expired_inference_jobs, self._kinds, author.provider, author.model
        )
        rows = await self._database.fetch(sql.claim_inference_jobs, worker, limit, lease, self._kinds)
        return [
            ClaimedInference(
                row["id"],
                row["kind"],
                row["profile_id"],
                row["message_id"],
                row["recipient_id"],
                row["input"],
                row["attempts"],
                row["max_attempts"],
                worker,
                row["traceparent"],
            )
            for row in rows
        ]

    async def extend(self, worker: UUID, jobs: Iterable[UUID], lease: timedelta) -> None:
        await self._database.execute(sql.extend_inference_jobs, worker, list(jobs), lease)

    async def retry(self, job: ClaimedInference, message: str, after: timedelta = timedelta()) -> bool:
        """Return a job after a failed attempt, due again after `backoff`; after the last attempt, fail it.
        Returns whether it will be tried again."""
        if job.attempt >= job.max_attempts:
            await self.fail(job, message)
            return False
        delay = backoff(job.attempt, after)
        await self._database.execute(sql.retry_inference_job, job.id, job.worker, job.attempt, message, delay)
        return True

    async def spend(self, job: ClaimedInference, tokens_in: int, tokens_out: int) -> None:
        """Count what an attempt has used that is about to fail."""
        if tokens_in or tokens_out:
            held = (job.id, job.worker, job.attempt)
            await self._database.execute(sql.spend_inference_tokens, *held, tokens_in, tokens_out)

    async def fail(self, job: ClaimedInference, message: str) -> None:
        """Fail and log a job that no further attempt can complete."""
        await self._database.fetchval(sql.end_inference_job, *self._end(job, "failed", None, message, None))

    async def complete(
        self,
        job: ClaimedInference,
        use: Use,
        *,
        result: dict[str, Any] | None = None,
        effect: Effect | None = None,
    ) -> bool:
        """End and log a job in the transaction of its effect. Returns False, and does nothing, if another
        worker has the job now.

        Args:
            result: Is kept with the job; of a reply its `text` and `model`.
            effect: Writes what else the job leads to, by the transaction's connection.
        """
        end = self._end(job, "completed", result, None, use)
        if effect is None:
            return bool(await self._database.fetchval(sql.end_inference_job, *end))
        async with self._database.transaction() as connection:
            if not await connection.fetchval(sql.end_inference_job, *end):
                return False
            await effect(connection)
            return True

    async def release(self, worker: UUID) -> None:
        await self._database.execute(sql.release_inference_jobs, worker)

    async def seconds_to_next(self) -> float | None:
        seconds: float | None = await self._database.fetchval(sql.seconds_to_next_inference_job, self._kinds)
        return None if seconds is None else max(seconds, 0.0)

    async def tell_operators(self) -> None:
        await tell_of_ended_jobs(self._database)

    def _end(
        self,
        job: ClaimedInference,
        status: JobStatus,
        result: dict[str, Any] | None,
        message: str | None,
        use: Use | None,
    ) -> tuple[Any, ...]:
        """The parameters of `end_inference_job`."""
        counted = (None, None, None) if use is None else (use.tokens_in, use.tokens_out, use.seconds)
        held = (job.id, job.worker, job.attempt)
        return (*held, status, result, message, self._author.provider, self._author.model, *counted)


class InferenceJobs:
    """The table `inference_queue`, for those who ask for texts and get them. Every method raises
    DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def send(self, new: NewText, budget: Budget) -> Enqueued:
        """Send a message and queue a reply to it, for its receiver; all or nothing. With a key that was used
        before, return what it led to.

        Raises NotFoundError for a connection that does not exist, ForbiddenError if the sender is not in it,
        it is not active, or texts are not switched on for both users, IdempotencyKeyReusedError if the key
        was used for another message, QuotaExceededError if the sender's texts may use no more today.
        """
        async with self._database.transaction() as connection:
            # Two requests of one user must see each other's job.
            await connection.execute(sql.lock_profile, new.sender_id)
            if new.key is not None and (earlier := await _earlier(connection, new)) is not None:
                return earlier
            pair = await connection.fetchrow(sql.other_member_of_connection, new.connection_id, new.sender_id)
            if pair is None:
                raise NotFoundError("This connection does not exist.")
            if pair["other_id"] is None:
                raise ForbiddenError("Only the two users of a connection can write in it.")
            if not pair["wanted"]:
                raise ForbiddenError(
                    "Texts are suggested only where an administrator and both users have switched it on."
                )
            await _check(connection, new.sender_id, budget)
            await carry_trace(connection)
            message = await connection.fetchrow(
                sql.send_message,
                new.connection_id,
                new.sender_id,
                new.content,
                "text",
                new.title,
                new.preview,
                None,
            )
            if message is None:
                raise ForbiddenError("This connection is not active: no messages can be sent.")
            job_id = await connection.fetchval(
                sql.add_reply_job, new.sender_id, message["id"], pair["other_id"], new.key
            )
            return Enqueued(job_id, message["id"], "pending")

    async def get(self, job_id: UUID, *, profile_id: UUID) -> InferenceJob | None:
        """The job with this id about a message of the user, if there is one."""
        row = await self._database.fetchrow(sql.get_inference_job, job_id, profile_id)
        return None if row is None else InferenceJob(**row)

    async def drafts(self, profile_id: UUID, connection_id: UUID | None = None) -> list[Draft]:
        """The latest hundred drafts for a user, newest first; of one connection, or of all active ones."""
        rows = await self._database.fetch(sql.list_drafts, profile_id, connection_id)
        return [Draft(**row) for row in rows]

    async def send_draft(
        self, draft_id: UUID, *, profile_id: UUID, content: str, title: str, preview: str
    ) -> Message:
        """Send a draft, as its user wrote it in the end, as the answer to the message that it answers; then
        there is no draft any more.

        Raises NotFoundError if the user has no such draft, ForbiddenError if the connection is not active.
        """
        async with self._database.transaction() as connection:
            found = await _take(connection, draft_id, profile_id)
            row = await connection.fetchrow(
                sql.send_message,
                found["connection_id"],
                profile_id,
                content,
                "text",
                title,
                preview,
                found["message_id"],
            )
            if row is None:
                raise ForbiddenError("This connection is not active: no messages can be sent.")
            return Message(**row)

    async def dismiss(self, draft_id: UUID, *, profile_id: UUID) -> None:
        """Delete a draft. Raises NotFoundError if the user has no such draft."""
        async with self._database.transaction() as connection:
            await _take(connection, draft_id, profile_id)

    async def pending(self) -> int:
        """How many jobs are due and wait for a worker."""
        return int(await self._database.fetchval(sql.count_pending_inference_jobs))

    async def tell_of_draft(self, job: ClaimedInference, so_far: str) -> bool:
        """Tell the user whom a reply is for how it begins. Returns False, and tells nobody, if another worker
        has the job now."""
        return bool(await self._database.fetchval(sql.tell_of_draft, job.id, job.worker, job.attempt, so_far))

    async def backlog(self) -> list[Backlog]:
        """The jobs that are not completed, for each of their statuses."""
        return [Backlog(**row) for row in await self._database.fetch(sql.inference_job_backlog)]

    async def stats(self) -> JobStats:
        """Counts, speed and failures, as of match jobs."""
        counts = await self._database.fetch(sql.inference_job_counts)
        seconds = await self._database.fetchrow(sql.inference_job_seconds, datetime.now(UTC) - SPEED_WINDOW)
        failures = await self._database.fetch(sql.inference_job_failures, FAILURES_SHOWN)
        return JobStats(
            [StatusCount(**row) for row in counts],
            seconds["processing"] if seconds else None,
            seconds["total"] if seconds else None,
            [Failure(**row) for row in failures],
        )

    async def prune(self, keep: timedelta) -> int:
        """Remove jobs that ended longer than `keep` ago, with the drafts that were not sent; returns how
        many."""
        return await remove_in_steps(self._database, sql.prune_inference_jobs, datetime.now(UTC) - keep)


async def replace_icebreaker(connection: asyncpg.Connection, message_id: UUID, content: str) -> None:
    """Replace the text of an icebreaker, unless somebody has read it or the connection is not active."""
    await connection.execute(sql.replace_icebreaker, message_id, content)


async def _earlier(connection: asyncpg.Connection, new: NewText) -> Enqueued | None:
    row = await connection.fetchrow(sql.find_inference_job_by_key, new.sender_id, new.key)
    if row is None:
        return None
    if (row["connection_id"], row["content"]) != (new.connection_id, new.content):
        raise IdempotencyKeyReusedError(
            "This Idempotency-Key was used for another message; make a new key for each message."
        )
    return Enqueued(row["id"], row["message_id"], row["status"])


async def _check(connection: asyncpg.Connection, profile_id: UUID, budget: Budget) -> None:
    """Jobs that are not done count as if they used the most, so that no number of requests exceeds the
    budget."""
    today = await connection.fetchrow(sql.text_tokens_today, profile_id)
    current = today["used"] + today["open"] * budget.per_text
    if current + budget.per_text > budget.daily:
        raise QuotaExceededError(
            "Daily limit of suggested texts reached.",
            "text_tokens",
            budget.daily,
            min(current, budget.daily),
            today["resets_at"],
            max(1, round((today["resets_at"] - datetime.now(UTC)).total_seconds())),
        )


async def _take(connection: asyncpg.Connection, draft_id: UUID, profile_id: UUID) -> asyncpg.Record:
    found = await connection.fetchrow(sql.take_draft, draft_id, profile_id)
    if found is None:
        raise NotFoundError("You have no draft with this id.")
    return found
