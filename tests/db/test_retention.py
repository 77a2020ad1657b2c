"""Old rows are removed some at a time, by an index, and nothing else is."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from db import retention
from db.events import Events
from db.pool import Database
from db.queries import queries
from db.quotas import take
from db.retention import Kept, remove_old
from matching.celebrity_search import CelebritySearch
from tests.support.reused_database import ReusedDatabase

KEPT = Kept(timedelta(days=50), timedelta(days=60), timedelta(days=70))


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)


@pytest.fixture
async def user(database: Database) -> UUID:
    identity = uuid4()
    await database.execute("INSERT INTO profiles (id, profile_type) VALUES ($1, 'user')", identity)
    return identity


@pytest.fixture
async def service(reused_database: ReusedDatabase, service_dsn: str) -> Database:
    """A pool of the application's login."""
    return await reused_database.pool(service_dsn, 2)


async def test_what_is_too_old_is_removed_and_nothing_else(
    database: Database, service: Database, user: UUID
) -> None:
    days = "generate_series(1, 100) AS days"
    ago = "now() - make_interval(days => days) - interval '1 hour'"
    await database.execute(
        "INSERT INTO notifications (user_id, type, title, created_at)"
        f" SELECT $1, 'mutual_match', 'x', {ago} FROM {days}",
        user,
    )
    await database.execute(
        "INSERT INTO generation_logs (profile_id, provider, model, created_at, status)"
        f" SELECT $1, 'fal', 'x', {ago}, CASE days WHEN 99 THEN 'processing' ELSE 'failed' END FROM {days}",
        user,
    )
    await database.execute(
        "INSERT INTO face_searches (profile_id, max_results, results, request_id, created_at)"
        f" SELECT $1, 1, 1, 'x', {ago} FROM {days}",
        user,
    )
    await database.execute(
        "INSERT INTO user_daily_quotas (profile_id, kind, day)"
        f" SELECT $1, 'photo_upload', (now() AT TIME ZONE 'UTC')::date - days FROM {days}",
        user,
    )
    assert await remove_old(service, KEPT) == 51 + 40 + 31 + 70
    left = [
        await database.fetchval(f"SELECT count(*) FROM {table}")
        for table in ("notifications", "generation_logs", "face_searches", "user_daily_quotas")
    ]
    # The call that is still in progress stays.
    assert left == [49, 60, 69, 30]
    assert await remove_old(service, KEPT) == 0


async def test_old_events_and_changes_are_removed_in_steps(database: Database, service: Database) -> None:
    for _ in range(7):
        await database.execute("""INSERT INTO events (type, payload) VALUES ('job', '{}')""")
    await database.execute("UPDATE events SET created_at = now() - interval '2 days'")
    await database.execute("""INSERT INTO events (type, payload) VALUES ('job', '{}')""")
    newest = await database.fetchval("SELECT max(id) FROM events")
    await Events(service).prune(timedelta(days=1))
    assert [row["id"] for row in await database.fetch("SELECT id FROM events")] == [newest]
    await database.execute("UPDATE events SET created_at = now() - interval '2 days'")
    await Events(service).prune(timedelta(days=1))
    assert await database.fetchval("SELECT count(*) FROM events") == 1

    await database.execute(
        "INSERT INTO celebrity_changes (celebrity_id, created_at)"
        " SELECT gen_random_uuid(), now() - make_interval(days => i) FROM generate_series(0, 8) AS i"
    )
    await CelebritySearch(service).prune_log()
    assert await database.fetchval("SELECT count(*) FROM celebrity_changes") == 1


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("prune_notifications", "idx_notifications_created_at"),
        ("prune_generation_logs", "idx_generation_logs_created_at"),
        ("prune_face_searches", "idx_face_searches_created_at"),
        ("prune_quotas", "idx_user_daily_quotas_day"),
        ("prune_events", "events_id_key"),
        ("prune_match_jobs", "idx_match_jobs_finished"),
        ("prune_inference_jobs", "idx_inference_queue_finished"),
        ("prune_celebrity_changes", "idx_celebrity_changes_created_at"),
    ],
)
async def test_old_rows_are_found_by_an_index(database: Database, query: str, index: str) -> None:
    """None of them is sorted to find the oldest."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        await connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await connection.execute(f"PREPARE pruning AS {queries[query]}")
        kinds = await connection.fetchval(
            "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'pruning'"
        )
        first = "now()" if kinds[0].startswith("timestamp") else "interval '1 day'"
        plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE pruning({first}, 1000)")
        await connection.execute("DEALLOCATE pruning")
    assert f'"Index Name": "{index}"' in plan
    assert '"Sort"' not in json.dumps(plan)


async def test_counting_uses_of_a_day_adds_no_index_entries(database: Database, user: UUID) -> None:
    counts = (
        "SELECT pg_stat_get_xact_tuples_updated('user_daily_quotas'::regclass),"
        " pg_stat_get_xact_tuples_hot_updated('user_daily_quotas'::regclass)"
    )
    async with database.transaction() as connection:
        for _ in range(10):
            await take(connection, user, "photo_upload")
        assert tuple(await connection.fetchrow(counts)) == (9, 9)
