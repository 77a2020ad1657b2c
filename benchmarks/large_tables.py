"""The hot reads of `matches` and `celebrity_matches` at ten million rows, compared with those at a hundred
thousand: whether a list takes longer because the table is longer.

Two databases are filled, the larger with the same number of matches for a face and reactions of a user. Each
read is run by the application's own methods, one at a time, for other users and faces each time. What the
operating system keeps in memory counts: the first half of the reads only warms up.

    python -m benchmarks.large_tables
    python -m benchmarks.large_tables --rows 1000000 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import psycopg
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from db.matches import Matches
from db.pool import Database

MATCHES_OF_A_FACE = 20
CELEBRITIES_OF_A_FACE = 10

FILL = """
    SET session_replication_role = replica;
    SET maintenance_work_mem = '1GB';

    INSERT INTO profiles (id, profile_type, name, gender, school, last_seen)
    SELECT
        md5('profile' || i)::uuid, 'user', 'Person ' || i, (ARRAY['male', 'female'])[1 + i % 2],
        'school ' || i % 1000, now() - random() * interval '30 days'
    FROM generate_series(1, {users}) AS i;

    INSERT INTO faces (id, profile_id, image_path, image_hash, created_at)
    SELECT
        md5('face' || i)::uuid, md5('profile' || 1 + i % {users})::uuid, 'faces/' || i || '.jpg',
        md5('picture' || i), now() - random() * interval '365 days'
    FROM generate_series(1, {faces}) AS i;

    INSERT INTO celebrities (id, name, image_path)
    SELECT md5('celebrity' || i)::uuid, 'Celebrity ' || i, 'celebrities/' || i || '.jpg'
    FROM generate_series(1, {celebrities}) AS i;

    INSERT INTO matches (
        face_a_id, face_b_id, similarity_score, created_at, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights
    )
    SELECT
        least(a, b), greatest(a, b), random(), now() - random() * interval '365 days',
        random(), random(), random(), random(), random(), random(), weights
    FROM (
        SELECT
            md5('face' || 1 + i % {faces})::uuid AS a,
            -- Another one for each round through the faces.
            md5('face' || 1 + (i + 1 + 7 * (i / {faces})) % {faces})::uuid AS b
        FROM generate_series(0, {rows} - 1) AS i
    ) AS pairs,
        (SELECT value AS weights FROM system_settings WHERE key = 'matching_weights') AS setting;
    DELETE FROM match_counts;
    INSERT INTO match_counts (count) SELECT count(*) FROM matches;

    INSERT INTO celebrity_matches (
        face_id, celebrity_id, similarity_score, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights
    )
    SELECT
        md5('face' || 1 + i % {faces})::uuid,
        md5('celebrity' || 1 + (i + 7 * (i / {faces})) % {celebrities})::uuid, random(),
        random(), random(), random(), random(), random(), random(), weights
    FROM generate_series(0, {rows} - 1) AS i,
        (SELECT value AS weights FROM system_settings WHERE key = 'matching_weights') AS setting;

    -- Fifty of each user.
    INSERT INTO reactions (user_profile_id, match_id, reaction_type)
    SELECT md5('profile' || 1 + (row_number() OVER ()) % {users})::uuid, id, 'viewed'
    FROM (SELECT id FROM matches LIMIT 50 * {users}) AS part
"""
"""Without triggers and checks of foreign keys, which would take most of the time."""

TABLES = ("matches", "celebrity_matches", "reactions", "faces", "profiles")


@dataclass(frozen=True, slots=True)
class Reads:
    """Milliseconds of one read."""

    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Size:
    """A database. rows: of each table of matches. bytes: of both with their indexes."""

    rows: int
    bytes: int
    filled_s: float
    reads: dict[str, Reads]


def main(
    rows: Annotated[int, typer.Option(min=10_000)] = 10_000_000,
    compared_with: Annotated[int, typer.Option(min=10_000, help="Rows of the smaller database.")] = 100_000,
    reads: Annotated[int, typer.Option(min=20, help="How often each is run.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, read, compare."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    small, large = (measure(size, reads, console) for size in (compared_with, rows))
    table = Table(title="milliseconds of one read, p50 and p95")
    table.add_column("read")
    for size in (small, large):
        table.add_column(f"{size.rows:,} rows", justify="right")
    table.add_column("p95", justify="right")
    for read, few in small.reads.items():
        many = large.reads[read]
        table.add_row(
            read, f"{few.p50:.2f}  {few.p95:.2f}", f"{many.p50:.2f}  {many.p95:.2f}",
            f"{many.p95 / few.p95:.2f} x",
        )  # fmt: skip
    console.print(table)
    if as_json:
        print(json.dumps({"benchmark": "large_tables", "results": [asdict(small), asdict(large)]}))


def measure(rows: int, reads: int, console: Console) -> Size:
    """A database of this size."""
    with scratch_database() as dsn:
        started = time.perf_counter()
        faces = fill(dsn, rows)
        filled = time.perf_counter() - started
        with psycopg.connect(dsn) as connection:
            size = connection.execute(
                "SELECT pg_total_relation_size('matches') + pg_total_relation_size('celebrity_matches')"
            ).fetchone()
        assert size is not None
        console.print(f"{rows:,} rows filled in {filled:.0f} s, {size[0] / 2**30:.1f} GiB")
        return Size(rows, size[0], filled, asyncio.run(time_reads(dsn, faces, users_of(rows), reads)))


def users_of(rows: int) -> int:
    """Each has five photos."""
    return faces_of(rows) // 5


def faces_of(rows: int) -> int:
    """Each has MATCHES_OF_A_FACE matches, of which it is one of two faces."""
    return rows * 2 // MATCHES_OF_A_FACE


def fill(dsn: str, rows: int) -> int:
    """Returns the number of faces. The indexes are made after the rows."""
    faces = faces_of(rows)
    sizes = {
        "rows": rows, "faces": faces, "users": users_of(rows),
        "celebrities": max(1000, faces // CELEBRITIES_OF_A_FACE),
    }  # fmt: skip
    with psycopg.connect(dsn, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = ANY (%s::regclass[]) AND NOT indisunique",
            [list(TABLES)],
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}".encode())
        for statement in FILL.format(**sizes).split(";"):
            connection.execute(statement.encode())
        for _, definition in indexes:
            connection.execute(definition.encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return faces


async def time_reads(dsn: str, faces: int, users: int, count: int) -> dict[str, Reads]:
    """Each read `count` times for users and faces by chance, the second half of which counts."""
    database = await Database.connect(dsn, pool_size=1)
    chosen = random.Random(1)
    matches = Matches(database)
    user_ids = [await _id(database, "profile", chosen.randint(1, users)) for _ in range(count)]
    face_ids = [await _id(database, "face", chosen.randint(1, faces)) for _ in range(count)]
    middle = await database.fetchval("SELECT max(created_at) FROM matches") - timedelta(days=180)

    def deep(user: UUID) -> Awaitable[object]:
        after: tuple[datetime, UUID] = (middle, user)
        return matches.feed(viewer_id=user, new_only=False, limit=20, after=after)

    by_user: dict[str, Callable[[UUID], Awaitable[object]]] = {
        "newest of all": lambda user: matches.feed(viewer_id=user, new_only=False, limit=20),
        "half a year back": deep,
        "of the last 5 minutes": lambda user: matches.feed(viewer_id=user, new_only=True, limit=20),
        "best of all": lambda user: matches.best(viewer_id=user, new_only=False, limit=20),
        "that a user has viewed": lambda user: matches.reacted(viewer_id=user, reaction="viewed", limit=20),
        "of a user": lambda user: matches.of_user(user, viewer_id=user, limit=20),
        "counts of the feed": matches.stats,
    }
    by_face: dict[str, Callable[[UUID], Awaitable[object]]] = {
        "of a face": lambda face: matches.of_face(face, viewer_id=user_ids[0], limit=20),
        "with celebrities, of a face": lambda face: matches.celebrities(face, limit=20),
    }
    try:
        return {
            name: await _timed(read, ids)
            for reads, ids in ((by_user, user_ids), (by_face, face_ids))
            for name, read in reads.items()
        }
    finally:
        await database.close()


async def _timed(read: Callable[[UUID], Awaitable[object]], ids: list[UUID]) -> Reads:
    milliseconds = []
    for identity in ids:
        started = time.perf_counter()
        await read(identity)
        milliseconds.append((time.perf_counter() - started) * 1000)
    p50, p95 = np.percentile(milliseconds[len(ids) // 2 :], [50, 95])
    return Reads(float(p50), float(p95))


async def _id(database: Database, kind: str, number: int) -> Any:
    return await database.fetchval("SELECT md5($1)::uuid", f"{kind}{number}")


if __name__ == "__main__":
    typer.run(main)
