"""Vectors of messages: only while both users of the chat want them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest

from db.pool import Database
from db.text_embeddings import TextEmbeddings
from deployments.text_vectors.worker import TextVectorWorker
from semblance.settings import Settings
from tests.support.embedders import CHUNK, Letters
from tests.support.rows_chat import add_user, connect
from tests.support.rows_texts import add_bio, say, switch_search_on, want_messages_found
from tests.support.waiting import WAITING, wait_until


@dataclass(frozen=True)
class SearchedChat:
    """Two users who want their messages found, and their chat."""

    database: Database
    ada: UUID
    bob: UUID
    id: UUID

    async def say(self, content: str, kind: str = "text") -> UUID:
        return await say(self.database, self.id, self.ada, content, kind)

    async def embedded(self) -> set[UUID]:
        rows = await self.database.fetch("SELECT source_id FROM text_embeddings WHERE source = 'message'")
        return {row["source_id"] for row in rows}

    async def waiting(self) -> int:
        return int(
            await self.database.fetchval("SELECT count(*) FROM inference_queue WHERE status = 'pending'")
        )

    async def work(self, embedder: Letters | None = None) -> Letters:
        embedder = embedder or Letters()
        await TextVectorWorker(self.database, embedder, Settings()).process()
        return embedder


@pytest.fixture
async def chat(database: Database) -> SearchedChat:
    ada, bob = await add_user(database, "Ada"), await add_user(database, "Bob")
    await want_messages_found(database, ada, bob)
    return SearchedChat(database, ada, bob, await connect(database, ada, bob))


async def test_a_message_has_a_vector_for_each_of_its_chunks(chat: SearchedChat) -> None:
    short, long = await chat.say("Hi"), await chat.say("x" * (2 * CHUNK + 1))
    picture = await chat.say("faces/a.jpg", "image")
    letters = await chat.work()
    assert [len(call) for call in letters.calls] == [4]
    rows = await chat.database.fetch("SELECT source_id, chunk FROM text_embeddings ORDER BY 1, 2")
    assert {tuple(row) for row in rows} == {(short, 0), *((long, number) for number in range(3))}
    assert picture not in await chat.embedded()
    # What is written is not told as if something were made of it.
    assert await chat.database.fetchval("SELECT count(*) FROM messages WHERE ai_status IS NOT NULL") == 0
    assert await chat.database.fetchval("SELECT count(*) FROM events WHERE type = 'inference'") == 0


@pytest.mark.parametrize(
    "without",
    [
        "UPDATE profiles SET message_search = false WHERE id = '{ada}'",
        "UPDATE profiles SET message_search = false WHERE id = '{bob}'",
        "UPDATE mutual_connections SET status = 'blocked' WHERE id = '{chat}'",
        "UPDATE mutual_connections SET status = 'archived' WHERE id = '{chat}'",
        "SELECT change_block('{bob}', true)",
    ],
)
async def test_without_the_consent_of_both_there_are_no_vectors_at_once(
    chat: SearchedChat, without: str
) -> None:
    said = await chat.say("Hi")
    await chat.work()
    assert await chat.embedded() == {said}
    await chat.say("How are you?")
    other = await connect(
        chat.database, carl := await add_user(chat.database, "Carl"), await add_user(chat.database)
    )
    await chat.database.execute("UPDATE profiles SET message_search = true")
    kept = await say(chat.database, other, carl, "Hello")
    await chat.work()
    await chat.say("Are you there?")
    async with chat.database.transaction() as connection:
        await connection.execute(without.format(ada=chat.ada, bob=chat.bob, chat=chat.id))
        left = await connection.fetch("SELECT source_id FROM text_embeddings")
        assert [row["source_id"] for row in left] == [kept]
        assert await connection.fetchval("SELECT count(*) FROM inference_queue WHERE status = 'pending'") == 0
    await chat.say("Say something!")
    assert await chat.waiting() == 0
    worker = TextVectorWorker(chat.database, Letters(), Settings())
    await worker.queue_missing()
    assert await worker.process() == []


@pytest.mark.parametrize(
    ("off", "on"),
    [
        ("UPDATE profiles SET message_search = false", "UPDATE profiles SET message_search = true"),
        (
            "UPDATE mutual_connections SET status = 'blocked'",
            "UPDATE mutual_connections SET status = 'active'",
        ),
        ("SELECT change_block('{bob}', true)", "SELECT change_block('{bob}', false)"),
    ],
)
async def test_what_was_written_before_is_embedded_when_both_want_it_again(
    chat: SearchedChat, off: str, on: str
) -> None:
    said = await chat.say("Hi")
    for statement in (off, on):
        await chat.database.execute(statement.format(bob=chat.bob))
    await chat.work()
    assert await chat.embedded() == {said}


@pytest.mark.parametrize("table", ["messages", "mutual_connections", "matches", "faces", "profiles"])
async def test_what_deletes_a_message_deletes_its_vectors_and_its_job(chat: SearchedChat, table: str) -> None:
    await chat.say("Hi")
    await chat.work()
    await chat.say("Bye")
    await chat.database.execute(f"DELETE FROM {table}")
    assert (await chat.embedded(), await chat.waiting()) == (set(), 0)


async def test_a_message_that_changes_loses_its_vectors_and_gets_new_ones(chat: SearchedChat) -> None:
    said = await chat.say("A template", "icebreaker")
    await chat.work()
    await chat.database.execute("UPDATE messages SET content = content, read_at = now()")
    assert await chat.waiting() == 0
    await chat.database.execute("UPDATE messages SET content = 'Better'")
    assert await chat.embedded() == set()
    letters = await chat.work()
    assert letters.calls == [["Better"]]
    assert await chat.embedded() == {said}


async def test_a_consent_that_is_withdrawn_in_the_midst_of_it_leaves_no_vector(
    chat: SearchedChat, dsn: str
) -> None:
    other = await Database.connect(dsn, pool_size=1)

    async def withdraw(_: Sequence[str]) -> None:
        await other.execute("UPDATE profiles SET message_search = false WHERE id = $1", chat.bob)

    await chat.say("Hi")
    await chat.work(Letters(meanwhile=withdraw))
    assert (await chat.embedded(), await chat.waiting()) == (set(), 0)
    await other.close()


async def test_a_worker_waits_for_a_consent_that_is_being_withdrawn(chat: SearchedChat, dsn: str) -> None:
    other = await Database.connect(dsn, pool_size=1)
    written, tasks = asyncio.Event(), []

    async def withdraw() -> None:
        async with other.transaction() as connection:
            await connection.execute("UPDATE profiles SET message_search = false WHERE id = $1", chat.ada)
            written.set()
            await wait_until(chat.database, WAITING)

    async def meanwhile(_: Sequence[str]) -> None:
        tasks.append(asyncio.create_task(withdraw()))
        await written.wait()

    await chat.say("Hi")
    await chat.work(Letters(meanwhile=meanwhile))
    await asyncio.gather(*tasks)
    assert (await chat.embedded(), await chat.waiting()) == (set(), 0)
    await other.close()


async def test_an_admin_switches_it_off_for_everybody(chat: SearchedChat) -> None:
    await switch_search_on(chat.database)
    person = await add_bio(chat.database, "I dance.")
    said = await chat.say("Hi")
    worker = TextVectorWorker(chat.database, Letters(), Settings())
    await worker.queue_missing()
    await worker.process()
    assert await chat.embedded() == {said}
    await chat.say("Bye")
    await chat.database.execute("UPDATE system_settings SET value = 'false' WHERE key = 'message_search'")
    await worker.queue_missing()
    await worker.process()
    rows = await chat.database.fetch("SELECT source_id FROM text_embeddings")
    assert [row["source_id"] for row in rows] == [person]
    await want_messages_found(chat.database)
    await worker.queue_missing()
    await worker.process()
    assert said in await chat.embedded()


async def test_what_was_switched_on_between_two_looks_is_forgotten_too(chat: SearchedChat) -> None:
    switch = "UPDATE system_settings SET value = '{}' WHERE key = 'message_search'"
    await chat.database.execute(switch.format("false"))
    worker = TextVectorWorker(chat.database, Letters(), Settings())
    await worker.queue_missing()
    await chat.database.execute(switch.format("true"))
    said = await chat.say("Hi")
    await worker.process()
    assert await chat.embedded() == {said}
    await chat.database.execute(switch.format("false"))
    await worker.queue_missing()
    assert await chat.embedded() == set()


async def test_a_text_that_changed_unseen_is_embedded_again_and_one_that_did_not_costs_nothing(
    chat: SearchedChat,
) -> None:
    """As after rows were restored without their triggers."""
    first, second = await chat.say("one"), await chat.say("two")
    await chat.work()
    async with chat.database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("UPDATE messages SET content = 'three' WHERE id = $1", second)
    letters = Letters()
    worker = TextVectorWorker(chat.database, letters, Settings())
    await worker.queue_missing()
    await worker.process()
    assert letters.calls == [["three"]]
    assert await chat.embedded() == {first, second}
    assert await TextEmbeddings(chat.database).missing("letters", 10) == []
