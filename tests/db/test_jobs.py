"""The queue: one worker for each job at a time, and a worker that dies does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from db.job_queue import JobQueue
from db.jobs import FIRST_DELAY, LONGEST_DELAY, LONGEST_WAIT, ClaimedJob, MatchJobs, backoff, hasten_jobs
from db.pool import Database
from db.queries import queries
from matching.scoring import BEST, MIN_QUALITY
from semblance.weights import Weights
from tests.support.rows import DIGEST
from tests.support.rows_matching import add_face, add_user
from tests.support.waiting import PATIENCE_S

MINUTE = timedelta(minutes=1)
LEASES_END = "UPDATE match_jobs SET lease_until = now() WHERE status = 'processing'"


@pytest.fixture
def jobs(database: Database) -> MatchJobs:
    return MatchJobs(database)


@pytest.fixture
async def crowd(dsn: str) -> AsyncIterator[list[MatchJobs]]:
    """Many queues, each over a separate connection."""
    databases = [await Database.connect(dsn, pool_size=1) for _ in range(8)]
    yield [MatchJobs(database) for database in databases]
    for database in databases:
        await database.close()


async def add_jobs(database: Database, count: int) -> list[UUID]:
    """As many jobs, of one user's faces; oldest first."""
    user = await add_user(database)
    for _ in range(count):
        await add_face(database, user)
    rows = await database.fetch("SELECT id FROM match_jobs ORDER BY created_at")
    return [row["id"] for row in rows]


async def state(database: Database, job: UUID) -> tuple[object, ...]:
    row = await database.fetchrow(
        "SELECT status, attempts, error_message, locked_by, lease_until IS NULL FROM match_jobs"
        " WHERE id = $1",
        job,
    )
    assert row is not None
    return tuple(row)


async def claim_one(jobs: MatchJobs, lease: timedelta = MINUTE, worker: UUID | None = None) -> ClaimedJob:
    (job,) = await jobs.claim(worker or uuid4(), 1, lease)
    return job


async def test_each_job_goes_to_one_of_many_workers(database: Database, crowd: list[MatchJobs]) -> None:
    wanted = set(await add_jobs(database, 60))

    async def take(jobs: MatchJobs) -> list[UUID]:
        return [job.id for job in await jobs.claim(uuid4(), 3, MINUTE)]

    async def drain(jobs: MatchJobs) -> list[UUID]:
        found = list[UUID]()
        while batch := await take(jobs):
            found += batch
        return found

    # A worker that waits for its first statement to be planned finds nothing if another drains the queue.
    first = await asyncio.gather(*map(take, crowd))
    assert [len(found) for found in first] == [3] * len(crowd)
    claimed = first + await asyncio.gather(*map(drain, crowd))
    everything = [job for found in claimed for job in found]
    assert len(everything) == 60
    assert set(everything) == wanted


async def test_the_oldest_come_first_up_to_the_limit(database: Database, jobs: MatchJobs) -> None:
    wanted = await add_jobs(database, 5)
    batch = await jobs.claim(uuid4(), 3, MINUTE)
    assert {job.id for job in batch} == set(wanted[:3])
    assert {(job.attempt, job.max_attempts, job.job_type) for job in batch} == {(1, 3, "both")}
    assert await jobs.pending() == 2


async def test_a_dead_workers_job_returns_when_its_lease_ends(database: Database, jobs: MatchJobs) -> None:
    (job,) = await add_jobs(database, 1)
    dead = await claim_one(jobs)
    assert await jobs.claim(uuid4(), 1, MINUTE) == []
    seconds = await jobs.seconds_to_next()
    assert seconds is not None and 0 < seconds <= MINUTE.total_seconds()
    await database.execute(LEASES_END)
    assert await jobs.seconds_to_next() == 0
    again = await claim_one(jobs)
    assert (again.id, again.attempt) == (job, 2)
    # The dead worker wakes up, and nothing it reports counts.
    await jobs.fail(dead, "too late")
    assert await jobs.retry(dead, "too late")
    await jobs.extend(dead.worker, [job], MINUTE)
    assert await state(database, job) == ("processing", 2, None, again.worker, False)


async def test_a_dead_workers_job_waits_again_while_the_queue_is_paused(
    database: Database, jobs: MatchJobs
) -> None:
    first, second, last = await add_jobs(database, 3)
    alive = await claim_one(jobs), await claim_one(jobs), await claim_one(jobs)
    await database.execute(
        "UPDATE match_jobs SET lease_until = now(), max_attempts = CASE id WHEN $1 THEN 3 ELSE 1 END"
        " WHERE id IN ($1, $2)",
        first,
        last,
    )
    queue = JobQueue(database)
    await queue.pause(paused=True)
    assert await jobs.seconds_to_next() == 0
    told = "SELECT count(*) FROM events WHERE type = 'admin' AND payload = '{\"kind\": \"jobs\"}'"
    before = await database.fetchval(told)
    assert await jobs.claim(uuid4(), 8, MINUTE) == []
    assert await database.fetchval(told) == before + 1
    assert await state(database, first) == ("pending", 1, None, None, True)
    assert (await state(database, second))[:2] == ("processing", 1)
    assert (await state(database, last))[0] == "failed"
    # Nothing is due but the end of the lease that is left.
    assert await jobs.seconds_to_next() == pytest.approx(MINUTE.total_seconds(), abs=50)
    await jobs.release(alive[1].worker)
    assert (await jobs.seconds_to_next(), await jobs.pending()) == (None, 2)
    await queue.pause(paused=False)
    again = {job.id: job.attempt for job in await jobs.claim(uuid4(), 8, MINUTE)}
    assert again == {first: 2, second: 1}


async def test_a_heartbeat_keeps_the_job(database: Database, jobs: MatchJobs) -> None:
    await add_jobs(database, 1)
    job = await claim_one(jobs)
    for _ in range(4):
        await database.execute(LEASES_END)
        await jobs.extend(job.worker, [job.id], MINUTE)
        assert await jobs.claim(uuid4(), 1, MINUTE) == []


async def test_a_job_that_ends_its_workers_is_given_up(database: Database, jobs: MatchJobs) -> None:
    (job,) = await add_jobs(database, 1)
    for _ in range(3):
        await claim_one(jobs)
        await database.execute(LEASES_END)
    assert await jobs.claim(uuid4(), 1, MINUTE) == []
    assert await state(database, job) == (
        "failed",
        3,
        "Matching was begun and not finished, several times.",
        None,
        True,
    )


async def test_jobs_an_old_worker_left_in_processing_return(database: Database, jobs: MatchJobs) -> None:
    (job,) = await add_jobs(database, 1)
    await database.execute("UPDATE match_jobs SET status = 'processing', attempts = 1")
    assert (await claim_one(jobs)).id == job


async def test_a_failed_attempt_waits_longer_each_time_then_fails(
    database: Database, jobs: MatchJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = 100.0
    monkeypatch.setattr("db.jobs.FIRST_DELAY", timedelta(seconds=first))
    (job,) = await add_jobs(database, 1)
    waits: list[float] = []
    for attempt in (1, 2):
        claimed = await claim_one(jobs)
        assert claimed.attempt == attempt
        assert await jobs.retry(claimed, "no luck")
        assert await state(database, job) == ("pending", attempt, "no luck", None, True)
        assert await jobs.claim(uuid4(), 1, MINUTE) == []
        seconds = await jobs.seconds_to_next()
        assert seconds is not None
        waits.append(seconds)
        await database.execute("UPDATE match_jobs SET run_after = now()")
    assert 0.4 * first < waits[0] <= 1.5 * first
    assert 0.9 * first < waits[1] <= 3 * first
    assert not await jobs.retry(await claim_one(jobs), "no luck at all")
    assert await state(database, job) == ("failed", 3, "no luck at all", None, True)
    assert await jobs.seconds_to_next() is None


def test_backoff_doubles_with_jitter_up_to_a_bound() -> None:
    for attempt in (1, 2, 3, 20, 10_000):
        expected = min(FIRST_DELAY * 2 ** min(attempt - 1, 20), LONGEST_DELAY)
        found = {backoff(attempt) for _ in range(50)}
        assert all(expected * 0.5 <= delay <= expected * 1.5 for delay in found)
        assert len(found) > 10


async def test_a_permanent_error_is_not_tried_again(database: Database, jobs: MatchJobs) -> None:
    (job,) = await add_jobs(database, 1)
    await jobs.fail(await claim_one(jobs), "no face")
    assert await state(database, job) == ("failed", 1, "no face", None, True)
    assert await jobs.claim(uuid4(), 1, MINUTE) == []


async def test_a_job_that_a_worker_returns_costs_no_attempt(database: Database, jobs: MatchJobs) -> None:
    job, other = await add_jobs(database, 2)
    mine, yours = await claim_one(jobs), await claim_one(jobs)
    await jobs.release(mine.worker)
    assert {mine.id, yours.id} == {job, other}
    assert await state(database, mine.id) == ("pending", 0, None, None, True)
    assert await state(database, yours.id) == ("processing", 1, None, yours.worker, False)


async def test_new_jobs_and_returning_ones_wake_the_workers(database: Database, jobs: MatchJobs) -> None:
    async with aclosing(database.notifications("match_jobs")) as notifications:
        await anext(notifications)

        async def woken() -> None:
            async with asyncio.timeout(PATIENCE_S):
                await anext(notifications)

        await add_jobs(database, 1)
        await woken()
        job = await claim_one(jobs)
        waiting = asyncio.create_task(woken())
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await jobs.release(job.worker)
        await waiting


async def test_finished_jobs_are_kept_for_a_while(database: Database, jobs: MatchJobs) -> None:
    old_done, old_failed, new_done, old_pending = await add_jobs(database, 4)
    for job, status, days in (
        (old_done, "completed", 31),
        (old_failed, "failed", 31),
        (new_done, "completed", 29),
    ):
        await database.execute(
            "UPDATE match_jobs SET status = $2, completed_at = now() - make_interval(days => $3)"
            " WHERE id = $1",
            *(job, status, days),
        )
    await database.execute("UPDATE match_jobs SET created_at = now() - interval '1 year'")
    assert await jobs.prune(timedelta(days=30)) == 2
    rows = await database.fetch("SELECT id FROM match_jobs")
    assert {row["id"] for row in rows} == {new_done, old_pending}
    assert await jobs.prune(timedelta(days=30)) == 0


async def test_a_clock_that_is_set_back_holds_up_no_job(jobs: MatchJobs, database: Database) -> None:
    waiting, leased, retried, held = await add_jobs(database, 4)
    later = "UPDATE match_jobs SET run_after = now() + $2 WHERE id = $1"
    working = (
        "UPDATE match_jobs SET status = 'processing', attempts = 1, locked_by = gen_random_uuid(),"
        " lease_until = now() + $2 WHERE id = $1"
    )
    for change, job, left in (
        (later, waiting, timedelta(days=30)),
        (later, retried, LONGEST_WAIT),
        (working, leased, timedelta(days=30)),
        (working, held, MINUTE),
    ):
        await database.execute(change, job, left)
    assert await jobs.claim(uuid4(), 8, MINUTE) == []
    await hasten_jobs(database, MINUTE)
    claimed = await jobs.claim(uuid4(), 8, MINUTE)
    assert {(job.id, job.attempt) for job in claimed} == {(waiting, 1), (leased, 2)}


async def test_no_wait_that_is_asked_for_looks_as_if_the_clock_was_set_back(
    jobs: MatchJobs, database: Database
) -> None:
    await add_jobs(database, 1)
    [job] = await jobs.claim(uuid4(), 1, MINUTE)
    assert await jobs.retry(job, "busy", timedelta(days=1))
    await hasten_jobs(database, MINUTE)
    wait = await database.fetchval("SELECT run_after - now() FROM match_jobs")
    assert LONGEST_WAIT - MINUTE < wait <= LONGEST_WAIT


@pytest.mark.parametrize(("lease", "is_free"), [(timedelta(days=30), True), (MINUTE, False)])
async def test_a_clock_that_is_set_back_holds_up_no_rescoring(
    database: Database, lease: timedelta, is_free: bool
) -> None:
    await database.execute("INSERT INTO rescorings (started_by) VALUES (gen_random_uuid())")
    await database.execute(queries["claim_rescoring"], uuid4(), lease)
    await hasten_jobs(database, MINUTE)
    found = await database.fetchval(queries["claim_rescoring"], uuid4(), MINUTE)
    assert (found is not None) == is_free


@pytest.mark.parametrize("query", ["claim_match_jobs", "prune_match_jobs"])
async def test_the_queue_does_not_read_finished_jobs(database: Database, query: str) -> None:
    await add_jobs(database, 1)
    await database.execute(
        """
        INSERT INTO match_jobs (face_id, user_id, status, completed_at)
        SELECT face_id, user_id, 'completed', now() FROM match_jobs, generate_series(1, 5000)
        """
    )
    await database.execute("ANALYZE match_jobs")
    arguments: dict[str, list[object]] = {
        "claim_match_jobs": [uuid4(), 8, MINUTE],
        "prune_match_jobs": [datetime(2020, 1, 1, tzinfo=UTC), 100],
    }
    rows = await database.fetch(f"EXPLAIN {queries[query]}", *arguments[query])
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on match_jobs" not in plan, plan


async def test_a_claim_and_an_end_do_not_wait_for_the_disk_and_later_statements_do(
    database: Database,
) -> None:
    (job,) = await add_jobs(database, 1)
    worker, weights = uuid4(), Weights().as_dict()
    for query, arguments in (
        ("claim_match_jobs", (worker, 8, MINUTE)),
        (
            "complete_match_job",
            (job, worker, 1, DIGEST, MIN_QUALITY, weights, 0.5, BEST, True, [], None, None, None, None),
        ),
        ("tell_of_ended_jobs", ()),
    ):
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.fetch(queries[query], *arguments)
            assert await connection.fetchval("SHOW synchronous_commit") == "off", query
    assert (await state(database, job))[0] == "completed"
    async with database.transaction() as connection:
        before = await connection.fetchval("SHOW synchronous_commit")
        assert before == await connection.fetchval(
            "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'"
        )
