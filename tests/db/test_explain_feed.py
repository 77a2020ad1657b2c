"""Plans of the statements behind the lists of matches and connections, on tables large enough to matter.

Each is planned twice: for the given values, and for any values, as a prepared statement ends up. And again
with the statistics of ten million matches on the same pages, where the planner takes a scan for cheaper than
it is.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from db.logins import DATABASE
from db.pool import Database
from db.queries import queries
from tests.support.postgres import on_database

FILL = """
    SET LOCAL session_replication_role = replica;

    INSERT INTO profiles (id, profile_type, name, last_seen)
    SELECT md5('profile' || i)::uuid, 'user', 'Person ' || i, now() - make_interval(hours => i)
    FROM generate_series(1, 2000) AS i;

    INSERT INTO faces (id, profile_id, image_path)
    SELECT md5('face' || i)::uuid, md5('profile' || 1 + i % 2000)::uuid, 'faces/x.jpg'
    FROM generate_series(1, 4000) AS i;

    INSERT INTO matches (face_a_id, face_b_id, similarity_score, created_at)
    SELECT least(a, b), greatest(a, b), random(), now() - make_interval(mins => 1 + i)
    FROM (
        SELECT
            i, md5('face' || 1 + i % 4000)::uuid AS a, md5('face' || 1 + (i + 1 + i / 4000) % 4000)::uuid AS b
        FROM generate_series(0, 29999) AS i
    ) AS pairs
    ON CONFLICT DO NOTHING;

    INSERT INTO reactions (user_profile_id, match_id, reaction_type)
    SELECT md5('profile' || 1 + (row_number() OVER ()) % 2000)::uuid, id, 'viewed' FROM matches;

    INSERT INTO celebrities (id, name, image_path)
    SELECT md5('celebrity' || i)::uuid, 'Celebrity ' || i, 'celebrities/x.jpg'
    FROM generate_series(1, 500) AS i;

    INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score)
    SELECT md5('face' || i)::uuid, md5('celebrity' || 1 + (i + j) % 500)::uuid, random()
    FROM generate_series(1, 4000) AS i, generate_series(1, 5) AS j;

    INSERT INTO mutual_connections (id, profile_a_id, profile_b_id, match_id)
    SELECT
        md5('connection' || i || '-' || j)::uuid, md5('profile' || i)::uuid,
        md5('profile' || 1 + (i + j) % 2000)::uuid, gen_random_uuid()
    FROM generate_series(1, 2000) AS i, generate_series(1, 3) AS j;

    INSERT INTO babies (match_id, generated_by_profile_id, image_url)
    SELECT id, md5('profile' || 1 + (row_number() OVER ()) % 2000)::uuid, 'babies/x.jpg'
    FROM matches LIMIT 6000;

    INSERT INTO messages (connection_id, sender_id, content)
    SELECT mutual_connections.id, profile_a_id, 'Hi.' FROM mutual_connections, generate_series(1, 5);
"""
ANALYZED = (
    "profiles", "faces", "matches", "reactions", "celebrities", "celebrity_matches", "mutual_connections",
    "messages", "babies",
)  # fmt: skip
SCALE = """
    UPDATE pg_class SET reltuples = reltuples * %s
    WHERE relnamespace = 'public'::regnamespace AND reltuples > 0
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A full database, one of its users, one of their faces, and the newest rows."""

    database: Database
    user: UUID
    face: UUID
    newest: list[UUID]


@pytest.fixture(scope="module")
def filled_dsn(postgres: str) -> Iterator[str]:
    """DSN of a full database, made once: the tests only read."""
    with psycopg.connect(on_database(postgres, "postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE explain_feed TEMPLATE {DATABASE}")
        dsn = on_database(postgres, "explain_feed")
        with psycopg.connect(dsn) as connection:
            connection.execute(FILL)
            for table in ANALYZED:
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            connection.execute(f"ANALYZE {', '.join(ANALYZED)}")
        yield dsn
        server.execute("DROP DATABASE explain_feed WITH (FORCE)")


@pytest.fixture(scope="module", params=[1, 333], ids=["thirty-thousand", "ten-million"])
async def filled(filled_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[Filled]:
    """By the planner's statistics it has `param` times as many rows."""
    with psycopg.connect(filled_dsn, autocommit=True) as connection:
        connection.execute(SCALE, [request.param])
    database = await Database.connect(filled_dsn, pool_size=1)
    newest = await database.fetch("SELECT id FROM matches ORDER BY created_at DESC LIMIT 20")
    user = await database.fetchval("SELECT md5('profile7')::uuid")
    face = await database.fetchval("SELECT md5('face6')::uuid")
    yield Filled(database, user, face, [row["id"] for row in newest])
    await database.close()
    with psycopg.connect(filled_dsn, autocommit=True) as connection:
        connection.execute(SCALE, [1 / request.param])


async def plan(filled: Filled, mode: str, query: str, *arguments: object) -> list[dict[str, Any]]:
    """The nodes of the plan of a named query as it was run."""
    async with filled.database.transaction() as connection:
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {queries[query]}", *arguments)
    return list(nodes(json.loads(text)[0]["Plan"]))


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes(child)


def scanned(found: list[dict[str, Any]]) -> set[str]:
    """Tables that are read from one end to the other."""
    return {
        node["Relation Name"] for node in found if node["Node Type"] == "Seq Scan" and node["Actual Loops"]
    }


def indexes(found: list[dict[str, Any]]) -> set[str]:
    return {node["Index Name"] for node in found if "Index Name" in node and node["Actual Loops"]}


def read(found: list[dict[str, Any]], table: str) -> float:
    """Rows that came from a table or its index."""
    return sum(
        float(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))
        for node in found
        if node.get("Relation Name") == table
    )


BOTH = pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])


@BOTH
async def test_the_feed_reads_no_more_than_its_page(filled: Filled, mode: str) -> None:
    found = await plan(filled, mode, "list_feed", False, None, None, 21, 0)
    assert scanned(found) <= {"match_counts"}
    assert "idx_matches_feed" in indexes(found)
    assert read(found, "matches") == 21
    middle = datetime.now(UTC) - timedelta(minutes=15_000)
    found = await plan(filled, mode, "list_feed", False, middle, uuid4(), 21, 0)
    assert read(found, "matches") == 21
    found = await plan(filled, mode, "list_feed", True, None, None, 21, 0)
    assert scanned(found) == set()
    assert read(found, "matches") < 21


@BOTH
async def test_the_best_of_the_feed_read_no_more_than_their_page(filled: Filled, mode: str) -> None:
    for place in ((None, None), (0.5, uuid4())):
        found = await plan(filled, mode, "list_best_feed", *place, 21, 0)
        assert scanned(found) <= {"match_counts"}
        assert "idx_matches_similarity_score" in indexes(found)
        assert read(found, "matches") == 21
    found = await plan(filled, mode, "list_best_new_matches", None, None, 21, 0)
    assert scanned(found) == set()
    assert read(found, "matches") < 21


@BOTH
async def test_babies_are_found_by_the_matches_of_a_user(filled: Filled, mode: str) -> None:
    found = await plan(filled, mode, "list_babies", filled.user, None, None, 21)
    assert scanned(found) == set()
    assert "idx_babies_match_id" in indexes(found)
    ids = [row["id"] for row in await filled.database.fetch("SELECT id FROM babies LIMIT 20")]
    found = await plan(filled, mode, "load_babies", filled.user, ids)
    assert scanned(found) == set()


@BOTH
async def test_what_is_shown_is_looked_up_by_id(filled: Filled, mode: str) -> None:
    found = await plan(filled, mode, "load_matches", filled.newest, filled.user)
    assert scanned(found) == set()
    assert {"matches_pkey", "faces_pkey", "profiles_pkey"} <= indexes(found)
    assert "reactions_match_user_type_unique" in indexes(found)
    assert read(found, "matches") == len(filled.newest)


@BOTH
@pytest.mark.parametrize(
    ("query", "used"),
    [
        ("list_reacted_matches", {"idx_reactions_user_type", "matches_pkey"}),
        ("list_best_reacted_matches", {"idx_reactions_user_type", "matches_pkey"}),
        ("list_matches_of_user", {"idx_faces_profile_id"}),
    ],
)
async def test_a_users_matches_are_found_by_user(
    filled: Filled, mode: str, query: str, used: set[str]
) -> None:
    reaction = ["viewed"] if "reacted" in query else []
    found = await plan(filled, mode, query, filled.user, *reaction, None, None, 21, 0)
    assert scanned(found) == set()
    assert used <= indexes(found)


@BOTH
async def test_a_faces_matches_are_found_by_face(filled: Filled, mode: str) -> None:
    found = await plan(filled, mode, "list_matches_of_face", filled.face, None, None, 21, 0)
    assert "matches" not in scanned(found)
    assert read(found, "matches") < 100
    found = await plan(filled, mode, "list_celebrity_matches", filled.face, None, None, 21)
    assert "celebrity_matches" not in scanned(found)
    by_face = {"idx_celebrity_matches_similarity", "idx_celebrity_matches_face_id", "unique_face_celebrity"}
    assert indexes(found) & by_face


@BOTH
async def test_connections_are_found_by_user(filled: Filled, mode: str) -> None:
    found = await plan(filled, mode, "list_connections", filled.user, "active", None, None, 51, 0)
    assert scanned(found) == set()
    assert {"idx_mutual_connections_profile_a", "idx_mutual_connections_profile_b"} <= indexes(found)
    ids = await filled.database.fetch(
        "SELECT id FROM mutual_connections WHERE $1 IN (profile_a_id, profile_b_id)", filled.user
    )
    found = await plan(filled, mode, "load_connections", filled.user, [row["id"] for row in ids])
    assert scanned(found) & {"mutual_connections", "messages", "profiles", "faces"} == set()
    assert "idx_messages_page" in indexes(found)


@pytest.mark.parametrize(
    "which", [("", None, None), ("person 1999", None, None), ("", "admin", None), ("", None, True)]
)
async def test_operators_find_users_without_reading_all(
    filled: Filled, which: tuple[str, str | None, bool | None]
) -> None:
    """In a function, whose plans are not shown: what it read is counted instead."""
    # What the session has counted before goes to the others.
    await filled.database.execute("SELECT pg_stat_force_next_flush()")
    async with filled.database.transaction() as connection:
        found = await connection.fetch(queries["find_accounts"], None, *which, None, None, 51)
        reads = await connection.fetch(
            """
            SELECT relname, seq_scan, idx_tup_fetch
            FROM pg_stat_xact_user_tables
            WHERE relname IN ('profiles', 'faces', 'matches')
            """
        )
    assert {row["relname"]: row["seq_scan"] for row in reads} == {"profiles": 0, "faces": 0, "matches": 0}
    (profiles,) = (row["idx_tup_fetch"] for row in reads if row["relname"] == "profiles")
    assert profiles == len(found) <= 51


@BOTH
async def test_the_counts_read_no_matches(filled: Filled, mode: str) -> None:
    found = await plan(filled, mode, "match_stats", filled.user)
    assert scanned(found) == {"match_counts"}
    assert read(found, "matches") == 0
