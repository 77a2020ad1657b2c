"""The search for people by their bios: its plans, its ranking, and who may read what it reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from db import bios as bios_module
from db.bios import DIMENSIONS, Bios, TextVector, fuse
from db.pool import Database
from db.queries import sql
from tests.support.rows_bios import add_bio, switch_search_on

PEOPLE = 2000
MODEL = "m" * 64

FILL = f"""
    INSERT INTO profiles (id, profile_type, name, school, bio)
    SELECT
        md5('person' || n)::uuid, 'user', 'Person ' || n,
        CASE WHEN n % 3 = 0 THEN 'large' ELSE 'school ' || n % 30 END, 'I like number ' || n
    FROM generate_series(1, {PEOPLE}) AS n
"""


@pytest.fixture
async def crowd(database: Database, dsn: str) -> AsyncIterator[Database]:
    """Some thousand people, a third of them at one school, with vectors."""
    await database.execute(FILL)
    texts = {row["id"]: row["bio"] for row in await database.fetch("SELECT id, bio FROM profiles")}
    vectors = np.random.default_rng(0).normal(size=(PEOPLE, DIMENSIONS)).astype(np.float32)
    index = "idx_bio_vectors_embedding"
    with psycopg.connect(dsn, autocommit=True) as connection:
        # Built after the rows, it takes a fraction of the time.
        definition = await database.fetchval(f"SELECT pg_get_indexdef('{index}'::regclass)")
        connection.execute(f"DROP INDEX {index}".encode())
        await Bios(database).store(texts, MODEL, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE profiles, bio_words, bio_vectors")
    yield database


async def plan(database: Database, query: str, *arguments: object) -> str:
    async with database.transaction(readonly=True) as connection:
        await connection.fetchrow(sql.tune_bio_search, str(bios_module.EF_SEARCH))
        rows = await connection.fetch(f"EXPLAIN {query}", *arguments)
    return "\n".join(row[0] for row in rows)


def somewhere(seed: int = 1) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


async def test_no_search_reads_a_whole_table(crowd: Database) -> None:
    near = (somewhere(), MODEL)
    exact = await plan(crowd, sql.bios_by_meaning_exact, *near, "school 1", [uuid4()], 100)
    assert "Seq Scan" not in exact
    assert "idx_bio_vectors_embedding" not in exact
    by_index = await plan(crowd, sql.bios_by_meaning, *near, "large", [uuid4()], 10)
    assert "idx_bio_vectors_embedding" in by_index
    words = await plan(crowd, sql.bios_by_words, "number 77", "large", [uuid4()], 1000, 100)
    assert "idx_bio_words_words" in words
    assert "Seq Scan" not in words
    counted = await plan(crowd, sql.school_of_searcher, UUID(int=1), 10)
    assert "Seq Scan" not in counted
    # Of a word that everybody uses, only some are ranked.
    assert len(await crowd.fetch(sql.bios_by_words, "number", "large", [uuid4()], 20, 100)) == 20


async def test_the_index_and_the_comparison_find_the_same_people(
    crowd: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = await add_bio(crowd, None, "large")
    found = []
    for most in (PEOPLE, 0):
        monkeypatch.setattr(bios_module, "EXACT_MOST", most)
        people = await Bios(crowd).find("zzz", TextVector(somewhere(), MODEL), by=me, limit=10)
        found.append({person.id for person in people})
    assert len(found[0]) == 10
    assert len(found[0] & found[1]) >= 9


async def test_vectors_of_two_models_are_never_compared(database: Database) -> None:
    bios = Bios(database)
    me, one, other = [await add_bio(database, bio) for bio in (None, "one", "other")]
    await bios.store({one: "one"}, MODEL, somewhere()[np.newaxis])
    await bios.store({other: "other"}, "another", somewhere()[np.newaxis])
    for person, model in ((one, MODEL), (other, "another")):
        found = await bios.find("zzz", TextVector(somewhere(), model), by=me, limit=50)
        assert [each.id for each in found] == [person]


async def test_a_vector_of_a_bio_that_has_changed_is_not_stored(database: Database) -> None:
    person = await add_bio(database, "new")
    assert await Bios(database).store({person: "old"}, MODEL, somewhere()[np.newaxis]) == 0
    assert await Bios(database).store({person: "new"}, MODEL, somewhere()[np.newaxis]) == 1


def test_ranks_are_fused_by_their_reciprocals() -> None:
    a, b, c, d = (UUID(int=number) for number in range(4))
    assert fuse([[a, b, c], [c, d]]) == [c, a, b, d]
    assert fuse([[b], [a]]) == [b, a]
    assert fuse([]) == []


async def test_end_users_read_neither_bios_nor_vectors(database: Database, dsn: str) -> None:
    """Only the search shows them, with its rules."""
    await switch_search_on(database)
    person = await add_bio(database, "I dance.")
    await Bios(database).store({person: "I dance."}, MODEL, somewhere()[np.newaxis])
    connection = await asyncpg.connect(dsn)
    for statement in ("SELECT * FROM bio_vectors", "SELECT * FROM bio_words", "SELECT bio FROM profiles"):
        for role in ("authenticated", "anon"):
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(f"SET LOCAL ROLE {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(statement)
            await transaction.rollback()
    await connection.close()
