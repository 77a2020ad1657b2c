"""The worker of text vectors: each text has its vectors, once, also when something fails meanwhile."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from db.pool import Database
from db.text_embeddings import DIMENSIONS, TextEmbeddings
from deployments.text_queue import TextQueue
from deployments.text_vectors.embedders import TOGETHER
from deployments.text_vectors.worker import TextVectorWorker
from semblance.errors import TextProviderBusyError, TextRefusedError
from semblance.settings import Settings
from tests.support.embedders import Letters
from tests.support.rows_texts import add_bio, change_bio, switch_search_on, want_messages_found
from tests.support.waiting import PATIENCE_S, WAITING, wait_until


@pytest.fixture
async def searched(database: Database) -> Database:
    await switch_search_on(database)
    return database


def worker(database: Database, embedder: Letters) -> TextVectorWorker:
    return TextVectorWorker(database, embedder, Settings())


async def embedded(database: Database) -> list[tuple[UUID, str]]:
    rows = await database.fetch("SELECT source_id, model FROM text_embeddings WHERE chunk = 0 ORDER BY 1, 2")
    return [tuple(row) for row in rows]


async def jobs(database: Database) -> list[str]:
    rows = await database.fetch("SELECT status FROM inference_queue ORDER BY created_at, id")
    return [row["status"] for row in rows]


async def due(database: Database) -> None:
    """As if time had passed."""
    await database.execute(
        "UPDATE inference_queue SET run_after = now(), lease_until = now() - interval '1 s'"
    )


async def test_many_bios_are_one_call_and_each_has_its_vector_its_log_and_its_tokens(
    searched: Database,
) -> None:
    people = [await add_bio(searched, "x" * (number + 1)) for number in range(TOGETHER + 2)]
    letters = Letters()
    outcomes = await worker(searched, letters).process()
    assert {outcome.status for outcome in outcomes} == {"completed"}
    assert [len(call) for call in letters.calls] == [TOGETHER, 2]
    assert await embedded(searched) == sorted((person, "letters") for person in people)
    logs = await searched.fetch("SELECT kind, provider, model, status, tokens_in FROM generation_logs")
    assert {tuple(row)[:4] for row in logs} == {("embed", "local", "letters", "completed")}
    assert len(logs) == len(people)
    assert abs(sum(row["tokens_in"] for row in logs) - 10 * len(people)) < len(people)


async def test_what_does_not_change_queues_nothing(searched: Database) -> None:
    person = await add_bio(searched, "I dance.")
    letters = Letters()
    await worker(searched, letters).process()
    await change_bio(searched, person, "I dance.")
    await searched.execute("UPDATE profiles SET name = 'Ada', last_seen = now() WHERE id = $1", person)
    await worker(searched, letters).queue_missing()
    assert await jobs(searched) == ["completed"]
    assert await embedded(searched) == [(person, "letters")]


async def test_changes_before_the_worker_comes_are_one_job(searched: Database) -> None:
    person = await add_bio(searched, "one")
    for bio in ("two", "three", "two"):
        await change_bio(searched, person, bio)
    letters = Letters()
    await worker(searched, letters).process()
    assert letters.calls == [["two"]]


async def test_a_bio_that_changes_in_the_midst_of_it_is_embedded_as_it_is_in_the_end(
    searched: Database, dsn: str
) -> None:
    other = await Database.connect(dsn, pool_size=1)

    async def change(texts: Sequence[str]) -> None:
        if texts == ["old"]:
            await change_bio(other, person, "new")

    letters = Letters(meanwhile=change)
    person = await add_bio(searched, "old")
    await worker(searched, letters).process()
    assert letters.calls == [["old"], ["new"]]
    assert await embedded(searched) == [(person, "letters")]
    assert await jobs(searched) == ["completed", "completed"]
    await other.close()


async def test_a_bio_that_was_read_before_its_change_was_committed_is_queued_again(
    searched: Database, dsn: str
) -> None:
    """The job still waits when the bio changes, so the change queues none; the worker claims the job and
    reads the old bio before the change is committed."""
    other = await Database.connect(dsn, pool_size=1)
    person = await add_bio(searched, "old")
    letters = Letters()
    async with other.transaction() as connection:
        await connection.execute("UPDATE profiles SET bio = 'new' WHERE id = $1", person)
        working = asyncio.create_task(worker(searched, letters).process())
        await wait_until(searched, WAITING)
    await working
    assert letters.calls == [["old"], ["new"]]
    assert await embedded(searched) == [(person, "letters")]
    await other.close()


@pytest.mark.parametrize("bio", [None, "gone"])
async def test_a_bio_or_a_person_that_is_gone_leaves_no_vector(searched: Database, bio: str | None) -> None:
    person = await add_bio(searched, "I dance.")
    await worker(searched, Letters()).process()
    if bio is None:
        await change_bio(searched, person, None)
    else:
        await searched.execute("DELETE FROM profiles WHERE id = $1", person)
    assert await embedded(searched) == []
    assert await searched.fetchval("SELECT count(*) FROM bio_words") == 0


async def test_a_refused_bio_takes_no_other_with_it(searched: Database) -> None:
    async def refuse(texts: Sequence[str]) -> None:
        if "bad" in texts:
            raise TextRefusedError("No.")

    bad, good = await add_bio(searched, "bad"), await add_bio(searched, "good")
    letters = Letters(meanwhile=refuse)
    bios = worker(searched, letters)
    outcomes = await bios.process()
    assert sorted(outcome.status for outcome in outcomes) == ["completed", "failed"]
    assert await embedded(searched) == [(good, "letters")]
    # It is not tried again every hour.
    await bios.queue_missing()
    assert len(await jobs(searched)) == 2
    await change_bio(searched, bad, "better")
    await bios.process()
    assert len(await embedded(searched)) == 2


async def test_a_busy_provider_is_asked_again(searched: Database) -> None:
    calls = 0

    async def busy(_: Sequence[str]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise TextProviderBusyError("busy", 60)

    person = await add_bio(searched, "I dance.")
    bios = worker(searched, Letters(meanwhile=busy))
    assert [outcome.status for outcome in await bios.process()] == ["pending"]
    await due(searched)
    assert [outcome.status for outcome in await bios.process()] == ["completed"]
    assert await embedded(searched) == [(person, "letters")]


async def test_another_model_embeds_beside_the_old_one_and_switching_back_needs_nothing(
    searched: Database,
) -> None:
    person = await add_bio(searched, "I dance.")
    await worker(searched, Letters("old")).process()
    new = worker(searched, Letters("new"))
    await new.queue_missing()
    await new.process()
    assert await embedded(searched) == [(person, "new"), (person, "old")]
    old = Letters("old")
    await worker(searched, old).queue_missing()
    assert old.calls == []
    assert await TextEmbeddings(searched).retire("new") == 1
    assert await embedded(searched) == [(person, "new")]


async def test_two_workers_queue_what_is_missing_once(database: Database, dsn: str) -> None:
    people = [await add_bio(database, f"Number {number}") for number in range(20)]
    assert await jobs(database) == []
    await switch_search_on(database)
    other = await Database.connect(dsn, pool_size=1)
    await asyncio.gather(*(TextEmbeddings(each).queue_missing("bio", "m") for each in (database, other)))
    assert len(await jobs(database)) == len(people)
    await other.close()


async def test_while_the_search_is_off_nothing_is_embedded(searched: Database) -> None:
    await add_bio(searched, "I dance.")
    await searched.execute("UPDATE system_settings SET value = 'false' WHERE key = 'profile_search'")
    letters = Letters()
    bios = worker(searched, letters)
    await bios.queue_missing()
    assert [outcome.status for outcome in await bios.process()] == ["completed"]
    assert (letters.calls, await embedded(searched)) == ([], [])


PROCESS = """
import asyncio
from db.pool import Database
from deployments.text_queue import TextQueue
from semblance.settings import get_settings

async def main():
    settings = get_settings()
    database = await Database.connect(settings.database_url.get_secret_value(), pool_size=2)
    await TextQueue.open(database, settings).process()

asyncio.run(main())
"""
"""A worker in a process that can be killed."""


@pytest.fixture
async def lock(dsn: str) -> AsyncIterator[Database]:
    database = await Database.connect(dsn, pool_size=1)
    yield database
    await database.close()


@pytest.mark.parametrize(
    "held_up",
    ["LOCK TABLE text_embeddings IN EXCLUSIVE MODE", "SELECT FROM profiles FOR UPDATE"],
    ids=["before the vector", "before the log row"],
)
async def test_a_worker_that_is_killed_leaves_one_vector_and_one_log_row(
    searched: Database, service_dsn: str, lock: Database, held_up: str
) -> None:
    # Else the worker begins with the vectors of messages that are not wanted.
    await want_messages_found(searched)
    person = await add_bio(searched, "I dance.")
    environment = os.environ | {"SEMBLANCE_DATABASE_URL": service_dsn}
    async with lock.transaction() as held, asyncio.timeout(PATIENCE_S):
        await held.execute(held_up)
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROCESS, env=environment)
        await wait_until(searched, WAITING)
        process.kill()
        await process.wait()
        await held.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
    assert (await embedded(searched), await jobs(searched)) == ([], ["processing"])
    await due(searched)
    for _ in range(2):
        await worker(searched, Letters()).process()
    assert await embedded(searched) == [(person, "letters")]
    assert await searched.fetchval("SELECT count(*) FROM generation_logs") == 1
    assert await jobs(searched) == ["completed"]


async def test_the_queue_wakes_for_a_new_bio_and_for_the_switch(database: Database) -> None:
    await add_bio(database, "I dance.")
    queue = TextQueue.open(database, Settings())
    task = asyncio.create_task(queue.run())
    await switch_search_on(database)
    # A job of any kind wakes it, and so does nothing at all, every 10 seconds.
    await add_bio(database, "I sing.")
    await wait_until(database, "SELECT count(*) = 2 FROM text_embeddings")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await queue.release()


async def test_a_server_can_make_the_vectors(searched: Database, text_provider: Any) -> None:
    await add_bio(searched, "I dance.")
    settings = Settings(text_url=text_provider.url, text_embedding_model="e")
    queue = TextQueue.open(searched, settings)
    await queue.process()
    vector = await queue.vector("Dance")
    assert vector.model == "e"
    assert vector.values.shape == (DIMENSIONS,)
    assert np.linalg.norm(vector.values) == pytest.approx(1)
    assert await searched.fetchval("SELECT model FROM text_embeddings") == "e"
    assert await searched.fetchval("SELECT tokens_in FROM generation_logs") == 7
    await queue.release()
