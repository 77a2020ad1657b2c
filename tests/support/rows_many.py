"""A database with some thousand faces, so that reading all costs more than using the index."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache
from uuid import uuid4

import psycopg
import pytest

from db.logins import DATABASE
from db.pool import Database
from semblance.types import Embedding
from tests.support.postgres import on_database
from tests.support.rows import DIGEST, embeddings

USERS, FACES_EACH, SCHOOLS = 1300, 4, 50


@cache
def vectors() -> list[Embedding]:
    """Face n is of user n // FACES_EACH, a man if that is even, at the school of that modulo SCHOOLS."""
    return embeddings(USERS * FACES_EACH, seed=7)


@pytest.fixture(scope="session")
async def _many_faces(postgres: str) -> AsyncIterator[Database]:
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE many_faces TEMPLATE {DATABASE}")
    database = await Database.connect(on_database(postgres, "many_faces"), pool_size=1)
    indexes = ("faces_embedding_half_idx", "celebrities_embedding_half_idx")
    definitions = [
        await database.fetchval(f"SELECT pg_get_indexdef('{index}'::regclass)") for index in indexes
    ]
    # Built after the rows, they take a fraction of the time.
    for index in indexes:
        await database.execute(f"DROP INDEX {index}")
    users = [uuid4() for _ in range(USERS)]
    async with database.transaction() as connection:
        await connection.copy_records_to_table(
            "profiles",
            columns=("id", "profile_type", "name", "gender", "school"),
            records=[
                (user, "user", f"User {n}", ("male", "female")[n % 2], f"school {n % SCHOOLS}")
                for n, user in enumerate(users)
            ],
        )
        await connection.copy_records_to_table(
            "faces",
            columns=("profile_id", "image_path", "embedding", "pack_digest", "quality_score"),
            records=[
                (users[n // FACES_EACH], f"faces/{n}.jpg", vector, DIGEST, 0.9)
                for n, vector in enumerate(vectors())
            ],
        )
    await database.execute(
        """
        INSERT INTO celebrities (name, image_path, embedding, pack_digest, quality_score)
        SELECT 'Celebrity ' || id, image_path, embedding, pack_digest, quality_score FROM faces
        """
    )
    # No test looks at how good that of the celebrities is, only whether it is used.
    definitions[1] = definitions[1].partition(" WITH ")[0] + " WITH (m = 8, ef_construction = 16)"
    for definition in definitions:
        await database.execute(definition)
    await database.execute("VACUUM ANALYZE")
    yield database
    await database.close()


async def _rows_written(database: Database) -> int:
    """In all tables of the database but those that searches and autovacuum write, those of the schema
    included. Those that the server's databases share are not its own: databases of other tests come and go.
    """
    await database.execute("SELECT pg_stat_force_next_flush()")
    written: int = await database.fetchval(
        """
        SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint
        FROM pg_stat_all_tables JOIN pg_class ON pg_class.oid = relid
        WHERE relid <> 'face_searches'::regclass AND NOT relisshared
        AND pg_class.relname NOT LIKE 'pg_statistic%' AND schemaname <> 'pg_toast'
        """
    )
    return written


@pytest.fixture
async def many_faces(_many_faces: Database) -> AsyncIterator[Database]:
    """A database with some thousand faces and celebrities, on one connection. Copying it takes longer than
    most tests, so all share it: they may search, and write nothing else."""
    before = await _rows_written(_many_faces)
    yield _many_faces
    await _many_faces.execute("DELETE FROM face_searches")
    assert await _rows_written(_many_faces) == before, "This test writes to a database that others use."
