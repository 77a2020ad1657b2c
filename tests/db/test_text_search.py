"""The searches by meaning and words: their plans, their ranking, and who may read what they read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from db import text_search
from db.pool import Database
from db.queries import sql
from db.text_embeddings import DIMENSIONS, EmbeddedText, SourceText, TextEmbeddings, TextVector
from db.text_indexes import drop_other_indexes, ensure_index, index_name
from db.text_search import TextSearch, fuse
from semblance.errors import ConfigurationError
from tests.support.rows_texts import add_bio, switch_search_on

PEOPLE = 2000
MODEL = "m" * 64

FILL = f"""
    INSERT INTO profiles (id, profile_type, name, school, bio)
    SELECT
        md5('person' || n)::uuid, 'user', 'Person ' || n,
        CASE WHEN n % 3 = 0 THEN 'large' ELSE 'school ' || n % 30 END, 'I like number ' || n
    FROM generate_series(1, {PEOPLE}) AS n
"""


def bio(person: UUID, said: str, *vectors: NDArray[np.float32]) -> EmbeddedText:
    return EmbeddedText(SourceText("bio", person, said), np.stack(vectors))


CHATS = """
    INSERT INTO profiles (id, profile_type)
    SELECT md5('p' || n)::uuid, 'user' FROM generate_series(1, 200) AS n;
    INSERT INTO faces (profile_id, image_path) SELECT id, 'faces/' || id FROM profiles;
    INSERT INTO matches (face_a_id, face_b_id, similarity_score)
    SELECT least(a.id, b.id), greatest(a.id, b.id), .9
    FROM generate_series(1, 199, 2) AS n
    JOIN faces AS a ON a.profile_id = md5('p' || n)::uuid
    JOIN faces AS b ON b.profile_id = md5('p' || n + 1)::uuid;
    INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id)
    SELECT a.profile_id, b.profile_id, matches.id
    FROM matches JOIN faces AS a ON a.id = face_a_id JOIN faces AS b ON b.id = face_b_id;
    INSERT INTO messages (connection_id, sender_id, content)
    SELECT id, profile_a_id, 'Message ' || n FROM mutual_connections, generate_series(1, 50) AS n;
"""
"""A hundred chats of 50 messages."""


@pytest.fixture
async def crowd(database: Database, dsn: str) -> AsyncIterator[Database]:
    """Some thousand people, a third of them at one school, with vectors."""
    await database.execute(FILL)
    await switch_search_on(database)
    texts = await database.fetch("SELECT id, bio FROM profiles")
    vectors = np.random.default_rng(0).normal(size=(PEOPLE, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = [bio(row["id"], row["bio"], vector) for row, vector in zip(texts, vectors, strict=True)]
    assert await TextEmbeddings(database).store(made, MODEL) == PEOPLE
    assert await asyncio.to_thread(ensure_index, dsn, MODEL)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE profiles, bio_words, text_embeddings")
    yield database


async def plan(database: Database, query: str, *arguments: object) -> str:
    async with database.transaction(readonly=True) as connection:
        await connection.fetchrow(sql.tune_nearest, str(text_search.EF_SEARCH))
        rows = await connection.fetch(f"EXPLAIN {query}", *arguments)
    return "\n".join(row[0] for row in rows)


def somewhere(seed: int = 1) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


async def test_no_search_reads_a_whole_table(crowd: Database, dsn: str) -> None:
    near = (somewhere(), MODEL)
    exact = await plan(crowd, sql.bios_by_meaning_exact, *near, "school 1", [uuid4()], 100)
    assert "Seq Scan" not in exact
    assert index_name(MODEL) not in exact
    by_index = await plan(crowd, sql.bios_by_meaning, *near, "large", [uuid4()], 10)
    assert index_name(MODEL) in by_index
    words = await plan(crowd, sql.bios_by_words, "number 77", "large", [uuid4()], 1000, 100)
    assert "idx_bio_words_words" in words
    assert "Seq Scan" not in words
    counted = await plan(crowd, sql.school_of_searcher, UUID(int=1), 10)
    assert "Seq Scan" not in counted
    # Of a word that everybody uses, only some are ranked.
    assert len(await crowd.fetch(sql.bios_by_words, "number", "large", [uuid4()], 20, 100)) == 20
    # A model without an index is compared one by one.
    other = await plan(crowd, sql.bios_by_meaning, somewhere(), "another", "large", [uuid4()], 10)
    assert index_name(MODEL) not in other


async def test_the_index_and_the_comparison_find_the_same_people(
    crowd: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await add_bio(crowd, None, "large")
    found = []
    for most in (PEOPLE, 0):
        monkeypatch.setattr(text_search, "EXACT_MOST", most)
        people = await TextSearch(crowd).people("zzz", TextVector(somewhere(), MODEL), by=me, limit=10)
        found.append({person.id for person in people})
    assert len(found[0]) == 10
    assert len(found[0] & found[1]) >= 9


async def test_messages_are_searched_by_their_indexes(database: Database, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(CHATS)
        connection.execute("VACUUM ANALYZE messages, mutual_connections, profiles")
    me = await database.fetchval("SELECT profile_a_id FROM mutual_connections LIMIT 1")
    rare = await plan(database, sql.messages_by_words, "unheard", me, 1000, 100)
    assert "Seq Scan on messages" not in rare
    near = await plan(database, sql.messages_by_meaning, somewhere(), MODEL, me, 20_000, 100)
    assert "Seq Scan on messages" not in near


@pytest.mark.parametrize("exact", [True, False])
async def test_a_text_of_several_chunks_is_found_once_by_its_best(
    database: Database, monkeypatch: pytest.MonkeyPatch, exact: bool
) -> None:
    await switch_search_on(database)
    monkeypatch.setattr(text_search, "EXACT_MOST", 100 if exact else 0)
    me, long, short = [await add_bio(database, said) for said in (None, "long", "short")]
    near, far = somewhere(1), -somewhere(1)
    half = (near + somewhere(2)) / np.linalg.norm(near + somewhere(2))
    made = [bio(long, "long", far, near, half), bio(short, "short", half)]
    await TextEmbeddings(database).store(made, MODEL)
    found = await TextSearch(database).people("zzz", TextVector(near, MODEL), by=me, limit=50)
    assert [person.id for person in found] == [long, short]


async def test_vectors_of_two_models_are_never_compared(database: Database) -> None:
    await switch_search_on(database)
    me, one, other = [await add_bio(database, said) for said in (None, "one", "other")]
    await TextEmbeddings(database).store([bio(one, "one", somewhere())], MODEL)
    await TextEmbeddings(database).store([bio(other, "other", somewhere())], "another")
    for person, model in ((one, MODEL), (other, "another")):
        found = await TextSearch(database).people("zzz", TextVector(somewhere(), model), by=me, limit=50)
        assert [each.id for each in found] == [person]


async def test_a_vector_of_a_bio_that_has_changed_is_not_stored(database: Database) -> None:
    await switch_search_on(database)
    person = await add_bio(database, "new")
    assert await TextEmbeddings(database).store([bio(person, "old", somewhere())], MODEL) == 0
    assert await TextEmbeddings(database).store([bio(person, "new", somewhere())], MODEL) == 1


async def test_each_model_has_an_index_as_long_as_it_is_used(database: Database, dsn: str) -> None:
    def indexes() -> list[str]:
        with psycopg.connect(dsn) as connection:
            rows = connection.execute(
                "SELECT indexdef FROM pg_indexes"
                " WHERE tablename = 'text_embeddings' AND indexdef LIKE '%hnsw%'"
            ).fetchall()
        return [definition for (definition,) in rows]

    odd = 'it\'s "odd"'
    assert [await asyncio.to_thread(ensure_index, dsn, model) for model in (MODEL, odd, odd)] == [
        True,
        True,
        False,
    ]
    assert len(indexes()) == 2
    assert all("m='16', ef_construction='64'" in each and "source = 'bio'" in each for each in indexes())
    # As a command leaves it that is killed while it builds the index.
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [index_name(odd)]
        )
    assert await asyncio.to_thread(ensure_index, dsn, odd)
    assert await asyncio.to_thread(drop_other_indexes, dsn, odd) == 1
    assert [MODEL in each for each in indexes()] == [False]


async def test_only_the_owner_makes_an_index(database: Database, service_dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="SEMBLANCE_OWNER_DATABASE_URL"):
        await asyncio.to_thread(ensure_index, service_dsn, MODEL)


def test_ranks_are_fused_by_their_reciprocals() -> None:
    a, b, c, d = (UUID(int=number) for number in range(4))
    assert fuse([[a, b, c], [c, d]]) == [c, a, b, d]
    assert fuse([[b], [a]]) == [b, a]
    assert fuse([]) == []


async def test_end_users_read_neither_bios_nor_vectors(database: Database, dsn: str) -> None:
    """Only the search shows them, with its rules."""
    await switch_search_on(database)
    person = await add_bio(database, "I dance.")
    await TextEmbeddings(database).store([bio(person, "I dance.", somewhere())], MODEL)
    connection = await asyncpg.connect(dsn)
    for statement in (
        *("SELECT * FROM text_embeddings", "SELECT * FROM bio_words", "SELECT bio FROM profiles"),
        *("SELECT * FROM embeddable_texts", "SELECT * FROM searchable_chats"),
    ):
        for role in ("authenticated", "anon"):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(f"SET LOCAL ROLE {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(statement)
            await transaction.rollback()
    await connection.close()
