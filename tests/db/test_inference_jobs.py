"""The queue of texts: consent and limits before it, one worker for each job, and effects exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from db.generation_logs import GenerationLogs
from db.inference_jobs import (
    Author,
    Budget,
    ClaimedInference,
    InferenceJobs,
    InferenceQueue,
    NewText,
    Use,
    replace_icebreaker,
)
from db.jobs import LONGEST_WAIT, hasten_jobs
from db.pool import Database
from semblance.errors import (
    ForbiddenError,
    IdempotencyKeyReusedError,
    NotFoundError,
    QuotaExceededError,
)
from tests.support.rows_chat import add_user, connect, want_texts

MINUTE = timedelta(minutes=1)
BUDGET = Budget(daily=1000, per_text=100)
USE = Use(12, 34, 0.5)


@dataclass(frozen=True)
class Pair:
    ada: UUID
    bob: UUID
    connection: UUID


@pytest.fixture
async def pair(database: Database) -> Pair:
    ada, bob = await add_user(database, "Ada"), await add_user(database, "Bob")
    connection = await connect(database, ada, bob)
    await want_texts(database, ada, bob)
    return Pair(ada, bob, connection)


@pytest.fixture
def jobs(database: Database) -> InferenceJobs:
    return InferenceJobs(database)


@pytest.fixture
def queue(database: Database) -> InferenceQueue:
    return InferenceQueue(database, ["reply", "icebreaker"], Author("local", "local"))


def text(pair: Pair, key: str | None = None) -> NewText:
    return NewText(pair.connection, pair.ada, "Hello?", "New message from Ada", "Hello?", key)


async def claim(queue: InferenceQueue, lease: timedelta = MINUTE) -> ClaimedInference:
    (job,) = await queue.claim(uuid4(), 1, lease)
    return job


async def told(database: Database, profile: UUID, kind: str) -> list[object]:
    """The states in the events of this type for a user."""
    rows = await database.fetch(
        "SELECT payload ->> 'status' AS status FROM events"
        " WHERE type = $1 AND $2 = ANY(audience) ORDER BY id",
        kind,
        profile,
    )
    return [row["status"] for row in rows]


async def logs(database: Database) -> list[tuple[object, ...]]:
    rows = await database.fetch(
        "SELECT kind, provider, status, attempts, tokens_in, tokens_out FROM generation_logs"
    )
    return [tuple(row) for row in rows]


async def test_a_clock_that_is_set_back_holds_up_no_text(
    database: Database, queue: InferenceQueue, jobs: InferenceJobs, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    await database.execute("UPDATE inference_queue SET run_after = now() + interval '30 days'")
    await hasten_jobs(database, MINUTE)
    first = await claim(queue, timedelta(days=30))
    await hasten_jobs(database, MINUTE)
    again = await claim(queue)
    assert (again.id, again.attempt) == (first.id, first.attempt + 1)
    # A provider that asks for a longer wait does not have it.
    assert await queue.retry(again, "busy", timedelta(days=30))
    await hasten_jobs(database, MINUTE)
    wait = await database.fetchval("SELECT run_after - now() FROM inference_queue")
    assert LONGEST_WAIT - MINUTE < wait <= LONGEST_WAIT


async def test_a_message_and_its_job_come_together_and_a_draft_is_private(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    sent = await jobs.send(text(pair), BUDGET)
    job = await claim(queue)
    assert (job.id, job.message_id, job.recipient_id) == (sent.job_id, sent.message_id, pair.bob)
    assert await jobs.tell_of_draft(job, "Hello")
    assert await queue.complete(job, USE, result={"text": "Hello, Ada!", "model": "local"})
    assert await told(database, pair.bob, "draft") == ["writing", "ready"]
    assert await told(database, pair.ada, "inference") == ["queued", "processing", "completed"]
    assert await told(database, pair.ada, "draft") == []
    assert (
        await database.fetchval("SELECT ai_status FROM messages WHERE id = $1", sent.message_id)
        == "completed"
    )
    assert await database.fetchval("SELECT count(*) FROM messages") == 1
    assert await database.fetchval("SELECT count(*) FROM notifications") == 1
    assert await logs(database) == [("reply", "local", "completed", 1, 12, 34)]

    (draft,) = await jobs.drafts(pair.bob, pair.connection)
    assert (draft.content, draft.message_id) == ("Hello, Ada!", sent.message_id)
    assert await jobs.drafts(pair.ada) == []
    with pytest.raises(NotFoundError):
        await jobs.dismiss(draft.id, profile_id=pair.ada)
    answer = await jobs.send_draft(
        draft.id, profile_id=pair.bob, content="Hi Ada", title="New message", preview="Hi Ada"
    )
    assert (answer.sender_id, answer.in_reply_to) == (pair.bob, sent.message_id)
    assert await jobs.drafts(pair.bob) == []
    with pytest.raises(NotFoundError):
        await jobs.send_draft(draft.id, profile_id=pair.bob, content="Hi", title="", preview="")


@pytest.mark.parametrize("off", ["system_settings", "ada", "bob"])
async def test_texts_need_the_admin_and_both_users(
    database: Database, jobs: InferenceJobs, pair: Pair, off: str
) -> None:
    if off == "system_settings":
        await database.execute("UPDATE system_settings SET value = 'false' WHERE key = 'text_generation'")
    else:
        profile = pair.ada if off == "ada" else pair.bob
        await database.execute("UPDATE profiles SET text_generation = false WHERE id = $1", profile)
    with pytest.raises(ForbiddenError):
        await jobs.send(text(pair), BUDGET)
    assert await database.fetchval("SELECT count(*) FROM messages") == 0


async def test_strangers_and_blocked_users_send_nothing(
    database: Database, jobs: InferenceJobs, pair: Pair
) -> None:
    with pytest.raises(NotFoundError):
        await jobs.send(replace(text(pair), connection_id=uuid4()), BUDGET)
    with pytest.raises(ForbiddenError):
        await jobs.send(replace(text(pair), sender_id=await add_user(database)), BUDGET)
    await database.execute("UPDATE mutual_connections SET status = 'blocked'")
    with pytest.raises(ForbiddenError):
        await jobs.send(text(pair), BUDGET)


async def test_a_repeated_key_sends_once_and_says_the_same(
    database: Database, jobs: InferenceJobs, pair: Pair
) -> None:
    first, *others = await asyncio.gather(*(jobs.send(text(pair, "key"), BUDGET) for _ in range(5)))
    assert all(other == first for other in others)
    assert await database.fetchval("SELECT count(*) FROM messages") == 1
    with pytest.raises(IdempotencyKeyReusedError):
        await jobs.send(replace(text(pair, "key"), content="Something else"), BUDGET)


async def test_the_budget_counts_what_is_used_and_what_is_open(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    budget = Budget(daily=250, per_text=100)
    for _ in range(2):
        await jobs.send(text(pair), budget)
    with pytest.raises(QuotaExceededError):
        await jobs.send(text(pair), budget)
    await queue.complete(await claim(queue), Use(10, 20, 0.1), result={"text": "Hi", "model": "m"})
    await jobs.send(text(pair), budget)
    # Baby pictures and texts do not count against each other.
    assert await database.fetchval("SELECT count(*) FROM generation_logs WHERE kind = 'baby'") == 0


async def test_texts_do_not_take_the_limit_of_baby_pictures(database: Database, pair: Pair) -> None:
    await database.execute("UPDATE system_settings SET value = '1' WHERE key = 'daily_baby_generation_limit'")
    await database.execute(
        "INSERT INTO generation_logs (profile_id, kind, provider, model, status, created_at)"
        " VALUES ($1, 'reply', 'p', 'm', 'processing', now() - interval '1 day')",
        pair.ada,
    )
    match_id = await database.fetchval("SELECT id FROM matches")
    assert await GenerationLogs(database).start(pair.ada, match_id, provider="local", model="m")
    assert await database.fetchval("SELECT status FROM generation_logs WHERE kind = 'reply'") == "processing"


async def test_a_worker_that_lost_its_job_has_no_effect(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    lost = await claim(queue, timedelta(seconds=-1))
    held = await claim(queue)
    assert (held.id, held.attempt) == (lost.id, 2)

    async def never(_: asyncpg.Connection) -> None:
        raise AssertionError

    assert not await queue.complete(lost, USE, result={"text": "late", "model": "m"}, effect=never)
    assert not await jobs.tell_of_draft(lost, "late")
    await queue.fail(lost, "late")
    assert await queue.complete(held, USE, result={"text": "in time", "model": "m"})
    assert not await queue.complete(held, USE)
    assert [draft.content for draft in await jobs.drafts(pair.bob)] == ["in time"]
    assert await logs(database) == [("reply", "local", "completed", 2, 12, 34)]
    assert (await told(database, pair.bob, "draft")).count("ready") == 1


async def test_a_failed_effect_leaves_the_job(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    job = await claim(queue)

    async def broken(_: asyncpg.Connection) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await queue.complete(job, USE, result={"text": "x", "model": "m"}, effect=broken)
    assert await jobs.drafts(pair.bob) == [] and await logs(database) == []
    assert await queue.complete(job, USE, result={"text": "x", "model": "m"})


async def test_a_clock_that_is_set_back_does_not_keep_a_job_from_ending(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    job = await claim(queue)
    await database.execute("UPDATE inference_queue SET started_at = now() + interval '1 min'")
    assert await queue.complete(job, USE, result={"text": "x", "model": "m"})
    assert await database.fetchval("SELECT duration_ms FROM generation_logs") == 0


async def test_retries_wait_as_asked_and_the_last_failure_is_logged(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    sent = await jobs.send(text(pair), BUDGET)
    assert await queue.retry(await claim(queue), "busy", timedelta(minutes=10))
    wait = await queue.seconds_to_next()
    assert wait is not None and wait > 500
    assert await queue.claim(uuid4(), 1, MINUTE) == []
    await database.execute("UPDATE inference_queue SET run_after = now(), attempts = 4")
    assert not await queue.retry(await claim(queue), "still busy", timedelta())
    job = await jobs.get(sent.job_id, profile_id=pair.ada)
    assert job is not None and (job.status, job.error_message) == ("failed", "still busy")
    assert await jobs.get(sent.job_id, profile_id=pair.bob) is None
    assert await logs(database) == [("reply", "local", "failed", 5, None, None)]
    assert (await told(database, pair.bob, "draft")) == ["failed"]
    assert [failure.count for failure in (await jobs.stats()).failures] == [1]
    assert {each.status: each.count for each in await jobs.backlog()} == {
        "pending": 0,
        "processing": 0,
        "failed": 1,
    }


async def test_a_job_whose_workers_all_die_fails_with_one_log_row(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    for _ in range(5):
        await claim(queue, timedelta(seconds=-1))
    assert await queue.claim(uuid4(), 1, MINUTE) == []
    assert [row[2:4] for row in await logs(database)] == [("failed", 5)]


async def test_released_jobs_return_uncounted_and_other_kinds_stay(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    job = await claim(queue)
    await queue.release(job.worker)
    assert (await claim(queue)).attempt == 1
    await database.execute("INSERT INTO inference_queue (kind, profile_id) VALUES ('embed', $1)", pair.ada)
    assert await queue.claim(uuid4(), 9, MINUTE) == []
    assert await jobs.pending() == 1


async def test_an_icebreaker_is_queued_where_both_want_it_and_replaced_while_unread(
    database: Database, queue: InferenceQueue, pair: Pair
) -> None:
    start = (
        "INSERT INTO messages (connection_id, sender_id, content, message_type)"
        " VALUES ($1, $2, 'Template', 'icebreaker') RETURNING id"
    )
    for read in (False, True):
        message = await database.fetchval(start, pair.connection, pair.ada)
        job = await claim(queue)
        assert (job.kind, job.message_id, job.recipient_id) == ("icebreaker", message, None)
        if read:
            await database.execute("UPDATE messages SET read_at = now() WHERE id = $1", message)

        async def effect(connection: asyncpg.Connection, message: UUID = message) -> None:
            await replace_icebreaker(connection, message, "Better")

        assert await queue.complete(job, USE, effect=effect)
        content = await database.fetchval("SELECT content FROM messages WHERE id = $1", message)
        assert content == ("Template" if read else "Better")
    changed = "SELECT count(*) FROM events WHERE type = 'message' AND payload ->> 'content' = 'Better'"
    assert await database.fetchval(changed) == 1
    await database.execute("UPDATE profiles SET text_generation = false WHERE id = $1", pair.bob)
    await database.fetchval(start, pair.connection, pair.ada)
    assert await queue.claim(uuid4(), 1, MINUTE) == []


async def test_old_jobs_are_removed_and_their_log_stays(
    database: Database, jobs: InferenceJobs, queue: InferenceQueue, pair: Pair
) -> None:
    await jobs.send(text(pair), BUDGET)
    await queue.complete(await claim(queue), USE, result={"text": "x", "model": "m"})
    assert await jobs.prune(timedelta(days=1)) == 0
    assert await jobs.prune(timedelta(days=-1)) == 1
    assert len(await logs(database)) == 1
