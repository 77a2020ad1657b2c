from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from db.events import Event
from db.pool import Database
from db.repositories import Repositories
from tests.support.realtime import add_face, add_match, add_message, connect_users, notify
from tests.support.waiting import PATIENCE_S


async def add_user(database: Database) -> UUID:
    user: UUID = await database.fetchval(
        "INSERT INTO profiles (id, profile_type) VALUES (gen_random_uuid(), 'user') RETURNING id"
    )
    return user


@pytest.fixture
def db(database: Database) -> Repositories:
    return Repositories.of(database)


@pytest.fixture
async def ada(database: Database) -> UUID:
    return await add_user(database)


@pytest.fixture
async def bob(database: Database) -> UUID:
    return await add_user(database)


async def all_events(db: Repositories) -> list[Event]:
    return await db.events.since(0, 10_000)


async def test_ids_follow_the_order_of_the_commits(
    database: Database, dsn: str, db: Repositories, ada: UUID
) -> None:
    """What is inserted first and committed last gets the greater id, so a reader of `id > last` misses
    nothing."""
    insert = "INSERT INTO notifications (user_id, type, title) VALUES (%s, 'mutual_match', %s)"
    with psycopg.connect(dsn) as early, psycopg.connect(dsn) as late:
        early.execute(insert, [ada, "early"])
        late.execute(insert, [ada, "late"])
        late.commit()
        (first,) = await all_events(db)
        assert first.payload["notifications"][0]["title"] == "late"
        early.commit()
    (second,) = await db.events.since(first.id, 10)
    assert second.payload["notifications"][0]["title"] == "early"
    assert second.created_at > first.created_at


async def test_ids_ascend_after_a_crash_that_lost_some(
    database: Database, dsn: str, db: Repositories, ada: UUID
) -> None:
    """What was told and then lost has taken the sequence along: it says again what it said before."""
    for _ in range(2):
        await notify(database, ada)
    *_, told = await all_events(db)
    with psycopg.connect(dsn) as owner:
        owner.execute("SELECT setval('events_id_seq', 1)")
        owner.execute("DELETE FROM events")
    await notify(database, ada)
    (later,) = await all_events(db)
    assert later.id > told.id


async def test_a_reader_misses_nothing_of_many_writers(
    database: Database, db: Repositories, ada: UUID
) -> None:
    seen: list[int] = []
    writing = 4

    async def write() -> None:
        nonlocal writing
        for number in range(40):
            async with database.transaction() as connection:
                for _ in range(number % 3 + 1):
                    await connection.execute(
                        "INSERT INTO notifications (user_id, type, title) VALUES ($1, 'mutual_match', 'x')",
                        ada,
                    )
                if number % 7 == 0:
                    await asyncio.sleep(0.002)
        writing -= 1

    async def read() -> None:
        while True:
            last_round = writing == 0
            events = await db.events.since(seen[-1] if seen else 0, 5)
            seen.extend(event.id for event in events)
            if last_round and not events:
                return

    await asyncio.gather(read(), *(write() for _ in range(4)))
    stored = [row["id"] for row in await database.fetch("SELECT id FROM events ORDER BY id")]
    assert len(stored) == 4 * (14 * 1 + 13 * 2 + 13 * 3)
    assert seen == stored


async def test_no_lock_is_held_before_the_commit(database: Database, dsn: str, ada: UUID) -> None:
    with psycopg.connect(dsn) as slow:
        slow.execute(
            "INSERT INTO notifications (user_id, type, title) VALUES (%s, 'mutual_match', 'x')", [ada]
        )
        async with asyncio.timeout(PATIENCE_S):
            await notify(database, ada)


async def test_a_commit_with_events_notifies(dsn: str, database: Database, ada: UUID) -> None:
    with psycopg.connect(dsn, autocommit=True) as listener:
        listener.execute("LISTEN events")
        await notify(database, ada)
        notices = await asyncio.to_thread(lambda: list(listener.notifies(timeout=PATIENCE_S, stop_after=1)))
    assert [notice.channel for notice in notices] == ["events"]


async def test_everybody_hears_of_matches_and_members_of_the_rest(
    database: Database, db: Repositories, ada: UUID, bob: UUID
) -> None:
    chat = await connect_users(database, ada, bob)
    await add_message(database, chat, ada)
    await notify(database, bob)
    events = await all_events(db)
    assert [(event.type, event.audience) for event in events] == [
        ("job", [ada]),
        ("job", [bob]),
        ("matches", None),
        ("message", [ada, bob]),
        ("notifications", [bob]),
    ]
    newest = events[-1].id
    types = {"message", "notifications", "matches"}
    for who, kinds in {
        ada: ["matches", "message"],
        bob: ["matches", "message", "notifications"],
        uuid4(): ["matches"],
        None: ["matches"],
    }.items():
        found = await db.events.visible(who, types, after=0, up_to=newest, limit=10)  # type: ignore[arg-type]
        assert [event.type for event in found] == kinds
    found = await db.events.visible(bob, ["notifications"], after=0, up_to=newest - 1, limit=10)
    assert found == []


async def test_an_insert_of_many_matches_is_one_event(
    database: Database, db: Repositories, ada: UUID, bob: UUID
) -> None:
    face = await add_face(database, ada)
    async with database.transaction() as connection:
        others = await connection.fetch(
            "INSERT INTO faces (profile_id, image_path)"
            " SELECT $1, 'x.jpg' FROM generate_series(1, 501) RETURNING id",
            bob,
        )
        ids = [row["id"] for row in others]
        for chosen in (ids[:3], ids, ids):
            await connection.execute(
                """
                INSERT INTO matches (face_a_id, face_b_id, similarity_score)
                SELECT least($1, other), greatest($1, other), number / 1000.0
                FROM unnest($2::uuid[]) WITH ORDINALITY AS numbered (other, number)
                ON CONFLICT DO NOTHING
                """,
                face, chosen,
            )  # fmt: skip
    events = [event.payload for event in await all_events(db) if event.type == "matches"]
    assert [(event["count"], len(event["ids"])) for event in events] == [(3, 3), (498, 498)]
    best = await database.fetchval("SELECT id FROM matches ORDER BY similarity_score DESC LIMIT 1")
    assert events[1]["ids"][0] == str(best)
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM matches")
        await connection.execute(
            "INSERT INTO matches (face_a_id, face_b_id, similarity_score)"
            " SELECT least($1, other), greatest($1, other), 0.5 FROM unnest($2::uuid[]) AS other",
            face, ids,
        )  # fmt: skip
    bulk = (await all_events(db))[-1].payload
    assert (bulk["count"], len(bulk["ids"])) == (501, 20)


async def test_an_embedding_is_never_in_an_event(
    database: Database, db: Repositories, ada: UUID, bob: UUID
) -> None:
    await database.execute(
        "INSERT INTO faces (profile_id, image_path, embedding, pack_digest)"
        " VALUES ($1, 'x.jpg', array_fill(0.25, ARRAY[512])::vector, repeat('a', 64))",
        ada,
    )
    await add_match(database, await add_face(database, ada), await add_face(database, bob))
    sizes = await database.fetch("SELECT type, length(payload::text) AS size FROM events")
    assert max(row["size"] for row in sizes) < 500


async def test_events_of_the_last_minutes_stay_and_the_newest_always(
    database: Database, db: Repositories, ada: UUID
) -> None:
    assert await db.events.kept() == (0, 0)
    for _ in range(4):
        await notify(database, ada)
    ids = [event.id for event in await all_events(db)]
    await database.execute(
        "UPDATE events SET created_at = now() - interval '9 minutes 50 s' WHERE id = $1", ids[2]
    )
    await database.execute(
        "UPDATE events SET created_at = now() - interval '10 minutes 10 s' WHERE id < $1", ids[2]
    )
    await db.events.prune(timedelta(minutes=10))
    assert await db.events.kept() == (ids[2], ids[3])
    await database.execute("UPDATE events SET created_at = now() - interval '1 day'")
    await db.events.prune(timedelta(minutes=10))
    assert await db.events.kept() == (ids[3], ids[3])


async def test_events_from_before_the_clock_was_set_back_go(
    database: Database, db: Repositories, ada: UUID
) -> None:
    for _ in range(3):
        await notify(database, ada)
    ids = [event.id for event in await all_events(db)]
    await database.execute("UPDATE events SET created_at = now() + interval '1 day' WHERE id = $1", ids[0])
    await db.events.prune(timedelta(minutes=10))
    assert await db.events.kept() == (ids[1], ids[2])


async def test_a_profile_is_online_from_its_first_session_to_the_end_of_its_last(
    database: Database, db: Repositories, ada: UUID, bob: UUID
) -> None:
    sessions = db.realtime_sessions
    await connect_users(database, ada, bob)
    here, there = uuid4(), uuid4()
    first, second = uuid4(), uuid4()
    await sessions.seen(here)
    await sessions.seen(there)
    await sessions.open(first, ada, here)
    await sessions.open(first, ada, here)
    assert await sessions.online_connections(bob) == [ada]
    assert await sessions.online_connections(ada) == []
    await sessions.open(second, ada, there)
    await sessions.close(first)
    assert await sessions.of(there) == {second}
    assert await sessions.online_connections(bob) == [ada]
    await sessions.close(second)
    await sessions.close(second)
    assert await sessions.online_connections(bob) == []
    told = [event for event in await all_events(db) if event.type == "presence"]
    assert [(event.payload["online"], set(event.audience or ())) for event in told] == [
        (True, {ada, bob}),
        (False, {ada, bob}),
    ]
    await sessions.forget(here)
    assert await database.fetchval("SELECT array_agg(id) FROM realtime_replicas") == [there]


# One of the future died before the clock was set back.
@pytest.mark.parametrize("unseen", [timedelta(minutes=-1), timedelta(days=30)])
async def test_only_replicas_not_seen_for_long_are_ended(
    database: Database, db: Repositories, unseen: timedelta
) -> None:
    sessions = db.realtime_sessions
    gone, alive = uuid4(), uuid4()
    users = [await add_user(database) for _ in range(5)]
    for replica in (gone, alive):
        await sessions.seen(replica)
        for user in users:
            await sessions.open(uuid4(), user, replica)
    only_there = await add_user(database)
    await sessions.open(uuid4(), only_there, gone)
    await database.execute("UPDATE realtime_replicas SET seen_at = now() + $2 WHERE id = $1", gone, unseen)
    ended = await asyncio.gather(*(sessions.end_lost(timedelta(seconds=45)) for _ in range(3)))
    assert sum(ended) == 6
    assert await sessions.of(gone) == set()
    assert len(await sessions.of(alive)) == 5
    online = await database.fetch("SELECT id FROM profiles WHERE online")
    assert {row["id"] for row in online} == set(users)
    assert await sessions.end_lost(timedelta(seconds=45)) == 0


async def test_the_end_of_an_account_ends_its_sessions_quietly(
    database: Database, db: Repositories, ada: UUID
) -> None:
    sessions = db.realtime_sessions
    replica = uuid4()
    await sessions.seen(replica)
    await sessions.open(uuid4(), ada, replica)
    await database.execute("DELETE FROM profiles WHERE id = $1", ada)
    assert await sessions.of(replica) == set()
    await sessions.open(uuid4(), ada, replica)
    assert await sessions.of(replica) == set()


async def test_the_application_may_read_and_remove_events_but_not_forge_them(
    dsn: str, database: Database, ada: UUID
) -> None:
    await notify(database, ada)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET ROLE semblance_service")
        found = connection.execute("SELECT count(*) FROM events").fetchone()
        assert found == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO events (type, payload) VALUES ('job', '{}')")
        connection.execute("DELETE FROM events")
        for role in ("authenticated", "anon"):
            connection.execute("RESET ROLE")
            connection.execute(f"SET ROLE {role}")
            for table in ("events", "realtime_sessions", "realtime_replicas"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"SELECT * FROM {table}")
