"""The worker of texts: each job has one effect, also if its workers die and the provider
fails."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from db.inference_jobs import Author, Budget, InferenceJobs, InferenceQueue, NewText, Use
from db.pool import Database
from db.text_subjects import TextSubject
from deployments.text_queue import TextQueue
from deployments.writing import worker as worker_module
from deployments.writing.local import LocalWriter
from deployments.writing.moderation import WordList
from deployments.writing.opening import open_writer
from deployments.writing.worker import NOT_SHOWN, NOT_WANTED, TextWorker
from deployments.writing.writer import OnText, WrittenText
from semblance.errors import TextProviderBusyError
from semblance.settings import Settings
from tests.support.rows_chat import add_user, connect, want_texts
from tests.support.text_provider import TEXT, ProviderAnswer, TextProvider
from tests.support.waiting import PATIENCE_S, WAITING, wait_until

BUDGET = Budget(10**9, 1)


class Chatting:
    """Two users who want texts, and what happened to them."""

    def __init__(self, database: Database, ada: UUID, bob: UUID, connection: UUID) -> None:
        self.database = database
        self.jobs = InferenceJobs(database)
        self.ada, self.bob, self.connection = ada, bob, connection

    async def say(self, content: str = "Hello?") -> UUID:
        sent = await self.jobs.send(NewText(self.connection, self.ada, content, "t", "p"), BUDGET)
        return sent.job_id

    async def states(self) -> list[tuple[Any, ...]]:
        rows = await self.database.fetch(
            "SELECT status, error_message, result ->> 'text' FROM inference_queue ORDER BY created_at"
        )
        return [tuple(row) for row in rows]

    async def counts(self) -> tuple[int, int, int]:
        """Replies told, log rows, unread notifications."""
        row = await self.database.fetchrow(
            "SELECT (SELECT count(*) FROM events WHERE type = 'draft' AND payload ->> 'status' = 'ready') "
            "AS told, (SELECT count(*) FROM generation_logs WHERE kind = 'reply' AND status = 'completed') "
            "AS logged, (SELECT count(*) FROM notifications) AS notified"
        )
        assert row is not None
        return row["told"], row["logged"], row["notified"]

    async def expire(self) -> None:
        """As if the workers had died some time ago."""
        await self.database.execute("UPDATE inference_queue SET lease_until = now() - interval '1 s'")


@pytest.fixture
async def chatting(database: Database) -> Chatting:
    ada, bob = await add_user(database, "Ada"), await add_user(database, "Bob")
    connection = await connect(database, ada, bob)
    await want_texts(database, ada, bob)
    return Chatting(database, ada, bob, connection)


def local(database: Database) -> TextWorker:
    return TextWorker(database, LocalWriter(), WordList(), Settings())


async def with_provider(database: Database, provider: TextProvider, **changes: Any) -> TextWorker:
    settings = Settings(text_url=provider.url, text_model="m", **changes)
    return TextWorker(database, *open_writer(settings), settings)


PROCESS = """
import asyncio
from db.pool import Database
from deployments.writing.opening import open_writer
from deployments.writing.worker import TextWorker
from semblance.settings import get_settings

async def main():
    settings = get_settings()
    database = await Database.connect(settings.database_url.get_secret_value(), pool_size=2)
    await TextWorker(database, *open_writer(settings), settings).process()

asyncio.run(main())
"""
"""A worker in a process that can be killed."""


@pytest.fixture
async def lock(dsn: str) -> AsyncIterator[Database]:
    database = await Database.connect(dsn, pool_size=1)
    yield database
    await database.close()


@pytest.mark.parametrize("step", ["asked", "streaming", "judged", "logged"])
async def test_a_worker_that_is_killed_leaves_one_reply_one_log_row_and_one_notification(
    chatting: Chatting, service_dsn: str, lock: Database, text_provider: TextProvider, step: str
) -> None:
    database = chatting.database
    await chatting.say()
    text_provider.answers.append(ProviderAnswer(delay=600 * (step == "asked"), stalls=step == "streaming"))
    if step == "judged":
        text_provider.judges.clear()
    environment = os.environ | {
        "SEMBLANCE_DATABASE_URL": service_dsn,
        "SEMBLANCE_TEXT_URL": text_provider.url,
        "SEMBLANCE_TEXT_MODERATION": "provider",
    }
    async with lock.transaction() as held, asyncio.timeout(PATIENCE_S):
        if step == "logged":
            # The statement that ends the job has changed its row, and waits to write its log.
            await held.execute("LOCK TABLE generation_logs IN EXCLUSIVE MODE")
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, env=environment)
        if step == "logged":
            await wait_until(database, WAITING)
        else:
            await text_provider.heard("moderations" if step == "judged" else "completions")
        process.kill()
        await process.wait()
        # The server undoes the statement of a client that is gone once it notices.
        await held.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
        )
    assert await chatting.counts() == (0, 0, 1)
    await chatting.expire()
    for _ in range(2):
        await local(database).process()
    assert await chatting.counts() == (1, 1, 1)
    (draft,) = await chatting.jobs.drafts(chatting.bob)
    assert draft.model == "local"


async def _kill(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


class FaultyWriter(LocalWriter):
    """Fails a third of its calls."""

    calls = 0

    async def write(self, subject: TextSubject, on_text: OnText) -> WrittenText:
        self.calls += 1
        if self.calls % 3 == 0:
            raise TextProviderBusyError("The provider is busy.", self.calls % 2)
        return WrittenText("Hello!", Use(1, 1, 0.0))


async def test_a_thousand_jobs_all_end_with_a_provider_that_fails_a_third_of_the_time(
    chatting: Chatting,
) -> None:
    database = chatting.database
    await database.execute(
        """
        WITH said AS (
            INSERT INTO messages (connection_id, sender_id, content)
            SELECT $1, $2, 'Hi ' || n FROM generate_series(1, 1000) AS n
            RETURNING id
        ) INSERT INTO inference_queue (kind, profile_id, message_id, recipient_id) SELECT 'reply', $2, id,
        $3 FROM said """,
        chatting.connection,
        chatting.ada,
        chatting.bob,
    )
    writer = FaultyWriter()
    worker = TextWorker(database, writer, WordList(), Settings())
    ends = "SELECT count(*) FROM inference_queue WHERE status IN ('completed', 'failed')"
    while await database.fetchval(ends) < 1000:
        await worker.process()
        await database.execute("UPDATE inference_queue SET run_after = now() WHERE status = 'pending'")
    told, logged, _ = await chatting.counts()
    assert (
        told
        == logged
        == await database.fetchval("SELECT count(*) FROM inference_queue WHERE status = 'completed'")
    )
    assert await database.fetchval("SELECT count(*) FROM generation_logs") == 1000
    assert writer.calls >= 1490


async def test_a_reply_streams_to_its_reader_as_far_as_it_may_be_shown(
    chatting: Chatting, text_provider: TextProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "TELL_EVERY_S", 0)
    text_provider.answers.append(
        ProviderAnswer(pieces=["Hello ", "**Ada**, ", "what ", "a likeness! ", "<b>x</b>"])
    )
    worker = await with_provider(chatting.database, text_provider)
    job = await chatting.say()
    assert [outcome.status for outcome in await worker.process()] == ["completed"]
    rows = await chatting.database.fetch(
        "SELECT payload, audience FROM events WHERE type = 'draft' ORDER BY id"
    )
    assert all(list(row["audience"]) == [chatting.bob] for row in rows)
    texts = [(row["payload"]["status"], row["payload"]["content"]) for row in rows]
    assert texts[-1] == ("ready", "Hello Ada, what a likeness! x")
    assert ("writing", "Hello Ada,") in texts
    assert all("Hello Ada, what a likeness! x".startswith(text) for _, text in texts)
    assert all(row["payload"]["id"] == str(job) for row in rows)
    await worker.release()


async def test_a_busy_provider_is_asked_again_when_it_says(
    chatting: Chatting, text_provider: TextProvider
) -> None:
    text_provider.answers.append(ProviderAnswer(status=429, headers={"retry-after": "600"}))
    worker = await with_provider(chatting.database, text_provider)
    await chatting.say()
    assert [outcome.status for outcome in await worker.process()] == ["pending"]
    wait = await chatting.database.fetchval("SELECT run_after - now() FROM inference_queue")
    assert timedelta(seconds=500) < wait < timedelta(seconds=601)
    await chatting.database.execute("UPDATE inference_queue SET run_after = now()")
    await worker.process()
    assert await chatting.counts() == (1, 1, 1)
    assert (await chatting.states())[0][2] == TEXT
    await worker.release()


async def test_a_refusal_fails_at_once_with_its_sentence(
    chatting: Chatting, text_provider: TextProvider
) -> None:
    worker = await with_provider(chatting.database, text_provider)
    text_provider.answers += [ProviderAnswer(status=400), ProviderAnswer(pieces=["You bitch!"])]
    await chatting.say()
    await worker.process()
    await chatting.say()
    await worker.process()
    (first, second) = await chatting.states()
    assert first[0] == second[0] == "failed"
    assert "administrator" in first[1]
    assert second[1:] == (NOT_SHOWN, None)
    assert await chatting.counts() == (0, 0, 1)
    await worker.release()


async def test_tokens_of_attempts_that_failed_are_counted(
    chatting: Chatting, text_provider: TextProvider
) -> None:
    """One stream breaks off, which nobody counts; the next is whole, and the last may not be shown."""
    worker = await with_provider(chatting.database, text_provider)
    text_provider.answers += [
        ProviderAnswer(pieces=["Hello ", "Ada"], breaks=True),
        ProviderAnswer(),
        ProviderAnswer(pieces=["You bitch!"]),
    ]
    await chatting.say()
    assert [outcome.status for outcome in await worker.process()] == ["pending"]
    spent = await chatting.database.fetchrow("SELECT tokens_in, tokens_out FROM inference_queue")
    assert spent is not None
    assert spent["tokens_in"] > 50
    assert spent["tokens_out"] == 3
    await chatting.database.execute("UPDATE inference_queue SET run_after = now()")
    await worker.process()
    await chatting.say()
    await worker.process()
    logs = await chatting.database.fetch(
        "SELECT status, tokens_in, tokens_out FROM generation_logs ORDER BY created_at"
    )
    assert [tuple(row) for row in logs] == [
        ("completed", 90 + spent["tokens_in"], 12 + 3),
        ("failed", 90, 12),
    ]
    await worker.release()


async def test_what_was_used_counts_also_if_the_last_worker_is_killed(chatting: Chatting) -> None:
    await chatting.say()
    queue = InferenceQueue(chatting.database, ["reply"], Author("local", "local"))
    [job] = await queue.claim(uuid4(), 1, timedelta(minutes=1))
    await queue.spend(job, 7, 3)
    await chatting.database.execute("UPDATE inference_queue SET attempts = max_attempts")
    await chatting.expire()
    assert await queue.claim(uuid4(), 1, timedelta(minutes=1)) == []
    log = await chatting.database.fetchrow("SELECT status, tokens_in, tokens_out FROM generation_logs")
    assert log is not None and tuple(log) == ("failed", 7, 3)
    # A worker that no longer holds a job counts nothing.
    await queue.spend(job, 100, 100)
    assert await chatting.database.fetchval("SELECT tokens_in FROM inference_queue") == 7


async def test_a_text_that_is_no_longer_wanted_is_not_written(chatting: Chatting) -> None:
    for change in (
        "UPDATE profiles SET text_generation = false",
        "UPDATE mutual_connections SET status = 'blocked'",
    ):
        await chatting.say()
        await chatting.database.execute(change)
        await local(chatting.database).process()
        assert (await chatting.states())[-1] == ("failed", NOT_WANTED, None)
        await want_texts(chatting.database, chatting.ada, chatting.bob)


async def test_a_new_chat_gets_a_better_icebreaker(chatting: Chatting) -> None:
    await chatting.database.execute(
        "INSERT INTO messages (connection_id, sender_id, content, message_type)"
        " VALUES ($1, $2, 'Template', 'icebreaker')",
        chatting.connection,
        chatting.ada,
    )
    await local(chatting.database).process()
    content = await chatting.database.fetchval("SELECT content FROM messages")
    assert "90 %" in content and "Bob" in content
    log = await chatting.database.fetchrow("SELECT kind, provider, model FROM generation_logs")
    assert log is not None and tuple(log) == ("icebreaker", "local", "local")


async def test_a_worker_wakes_for_a_new_job(chatting: Chatting) -> None:
    worker = TextQueue.open(chatting.database, Settings())
    task = asyncio.create_task(worker.run())
    await chatting.say()
    await wait_until(chatting.database, "SELECT status = 'completed' FROM inference_queue")
    await _kill(task)
    await worker.release()
    assert Author("local", "local") == LocalWriter().author
