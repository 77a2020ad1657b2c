"""Who is matched with whom, and what is stored."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from db.pool import Database
from db.queries import queries
from matching.gallery import Shortlist
from matching.scoring import BEST, MIN_QUALITY
from matching.store import Matching, MatchRules, OutdatedShortlistError, ProbeFace
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import JobOutcome, ModelInfo
from semblance.weights import Weights
from tests.support.no_models import NoModels
from tests.support.rows import DIGEST, OTHER_DIGEST, embeddings
from tests.support.rows_matching import (
    ALIKE,
    add_celebrities,
    add_face,
    add_person,
    add_user,
    famous,
)

UNLIKE: dict[str, Any] = {
    "embedding": -ALIKE,
    "age": 80,
    "expression": "sad",
    "geometry_ratios": {"nose_width_face_width": 5.0},
}


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> MatchWorker:
    settings = Settings(home=tmp_path, database_url=SecretStr("postgresql://unused"))
    return MatchWorker(database, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)


async def partners(database: Database, face: UUID) -> set[UUID]:
    rows = await database.fetch(
        "SELECT face_a_id, face_b_id FROM matches WHERE face_a_id = $1 OR face_b_id = $1", face
    )
    return {UUID(str(row[0 if row[1] == face else 1])) for row in rows}


async def stars(database: Database, face: UUID) -> list[UUID]:
    rows = await database.fetch(
        "SELECT celebrity_id FROM celebrity_matches WHERE face_id = $1"
        " ORDER BY similarity_score DESC, celebrity_id",
        face,
    )
    return [row["celebrity_id"] for row in rows]


async def match_again(database: Database, worker: MatchWorker, face: UUID) -> JobOutcome:
    await database.execute("DELETE FROM match_jobs")
    await database.execute(
        "INSERT INTO match_jobs (face_id, user_id) SELECT id, profile_id FROM faces WHERE id = $1", face
    )
    (outcome,) = await worker.process()
    return outcome


async def tables(database: Database) -> list[Any]:
    return [
        tuple(row)
        for table in ("matches", "celebrity_matches")
        for row in await database.fetch(f"SELECT * FROM {table} ORDER BY id")
    ]


@pytest.mark.parametrize(
    ("profile", "face", "matched"),
    [
        ({}, {}, True),
        ({"gender": "other"}, {}, True),
        ({"gender": "female"}, {}, False),
        ({"gender": None}, {}, False),
        ({"school": "yale"}, {}, False),
        ({"school": None}, {}, False),
        ({"profile_type": "celebrity"}, {}, False),
        ({}, {"gender": "female"}, True),  # predicted, which does not count
        ({}, {"quality_score": 0.6}, True),
        ({}, {"quality_score": 0.59}, False),
        ({}, {"quality_score": None}, True),
        ({}, {"pack_digest": OTHER_DIGEST}, False),
        ({}, {"embedding": None, "pack_digest": None}, False),
        # Of 1 it loses .2 by the embedding, .2 by geometry, .075 by age, .06 by expression, .03 by symmetry.
        ({}, UNLIKE, False),
        ({}, {**UNLIKE, "geometry_ratios": None}, True),
    ],
)
async def test_who_is_matched_with_a_woman_at_mit(
    database: Database,
    worker: MatchWorker,
    profile: dict[str, object],
    face: dict[str, object],
    matched: bool,
) -> None:
    other = await add_person(database, **{"gender": "male", **profile}, face=face)
    await database.execute("DELETE FROM match_jobs")
    ada = await add_person(database)
    (outcome,) = await worker.process()
    assert outcome.status == "completed"
    assert outcome.user_matches == int(matched)
    assert await partners(database, ada) == ({other} if matched else set())


async def test_nobody_is_matched_with_themselves(database: Database, worker: MatchWorker) -> None:
    ada = await add_user(database)
    faces = [await add_face(database, ada) for _ in range(2)]
    await worker.process()
    assert await partners(database, faces[0]) == set()


@pytest.mark.parametrize("missing", [{"school": None}, {"gender": None}, {"school": None, "gender": None}])
async def test_a_profile_without_school_or_gender_gets_only_celebrities_and_the_reason(
    database: Database, worker: MatchWorker, missing: dict[str, object]
) -> None:
    await add_celebrities(database, famous(1))
    ada = await add_person(database, **missing)  # type: ignore[arg-type]
    (outcome,) = await worker.process()
    assert (outcome.status, outcome.user_matches, outcome.celebrity_matches) == ("completed", None, 1)
    assert outcome.error is not None
    assert all(name in outcome.error for name in missing)
    row = await database.fetchrow("SELECT status, error_message FROM match_jobs WHERE face_id = $1", ada)
    assert row is not None
    assert tuple(row) == ("completed", outcome.error)


async def test_stating_school_and_gender_matches_earlier_faces(
    database: Database, worker: MatchWorker
) -> None:
    user = await add_user(database, school=None)
    ada = await add_face(database, user)
    bob = await add_person(database, gender="male")
    await worker.process()
    assert await partners(database, ada) == set()
    await database.execute("UPDATE profiles SET school = 'mit' WHERE id = $1", user)
    (outcome,) = await worker.process()
    assert outcome.error is None
    assert await partners(database, ada) == {bob}
    await database.execute("UPDATE profiles SET name = 'Ada', school = 'mit' WHERE id = $1", user)
    assert await worker.process() == []


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("female", {"male"}),
        ("male", {"female"}),
        ("other", {"male", "female"}),
        (None, {"male", "female", None}),
    ],
)
async def test_celebrities_differ_from_the_stated_gender(
    database: Database, worker: MatchWorker, stated: str | None, expected: set[str | None]
) -> None:
    rows = [famous(number, gender=gender) for number, gender in enumerate(("male", "female", None))]
    await add_celebrities(database, *rows)
    ada = await add_person(database, gender=stated, face={"gender": "male"})
    await worker.process()
    assert set(await stars(database, ada)) == {row.id for row in rows if row.gender in expected}


async def test_celebrities_of_low_quality_or_another_pack_are_left_out(
    database: Database, worker: MatchWorker
) -> None:
    good, *_ = await add_celebrities(
        database,
        famous(1),
        famous(2, quality_score=0.59),
        famous(3, pack_digest=OTHER_DIGEST),
        famous(4, **UNLIKE),
    )
    ada = await add_person(database)
    await worker.process()
    assert await stars(database, ada) == [good]


async def test_a_gallery_of_another_pack_is_the_reason_for_no_celebrities(
    database: Database, worker: MatchWorker
) -> None:
    await add_celebrities(database, famous(1, pack_digest=OTHER_DIGEST))
    await add_person(database)
    (outcome,) = await worker.process()
    assert (outcome.status, outcome.celebrity_matches) == ("completed", 0)
    assert outcome.error is not None
    assert "another model pack" in outcome.error


async def test_only_the_best_are_kept_and_ties_go_by_id(database: Database, worker: MatchWorker) -> None:
    users = [await add_person(database, gender="male") for _ in range(BEST + 5)]
    famous_ids = await add_celebrities(database, *(famous(number) for number in range(BEST + 5)))
    await database.execute("DELETE FROM match_jobs")
    ada = await add_person(database)
    (outcome,) = await worker.process()
    assert (outcome.user_matches, outcome.celebrity_matches) == (BEST, BEST)
    assert await partners(database, ada) == set(sorted(users)[:BEST])
    assert await stars(database, ada) == sorted(famous_ids)[:BEST]


async def test_a_match_keeps_its_factors_and_weights(database: Database, worker: MatchWorker) -> None:
    await add_celebrities(database, famous(1, age=40))
    await add_person(database, gender="male", face={"expression": "sad"})
    await database.execute("DELETE FROM match_jobs")
    await add_person(database)
    await worker.process()
    match, star = [
        await database.fetchrow(f"SELECT * FROM {table}") for table in ("matches", "celebrity_matches")
    ]
    assert match is not None and star is not None
    assert match["face_a_id"] < match["face_b_id"]
    assert match["weights"] == star["weights"] == Weights().as_dict()
    for row, changed in ((match, ("expression", 0.6)), (star, ("age", 0.7))):
        expected = {**dict.fromkeys(Weights().as_dict(), 1.0), "symmetry": 0.8}
        expected |= dict([changed])
        found = {name: row[f"factor_{name}"] for name in expected}
        assert found == pytest.approx(expected)
        assert row["similarity_score"] == pytest.approx(
            sum(row["weights"][name] * value for name, value in expected.items())
        )


async def test_a_repeated_job_changes_nothing_and_notifies_nobody(
    database: Database, worker: MatchWorker
) -> None:
    rows = [famous(number, vector) for number, vector in enumerate(embeddings(30))]
    await add_celebrities(database, *rows)
    for _ in range(3):
        await add_person(database, gender="male")
    ada = await add_person(database)
    await worker.process()
    before = await tables(database)
    told = await database.fetchval("SELECT count(*) FROM events WHERE type = 'matches'")
    for face in [row["id"] for row in await database.fetch("SELECT id FROM faces")]:
        await match_again(database, worker, face)
    assert (await match_again(database, worker, ada)).celebrity_matches == BEST
    assert await tables(database) == before
    assert await database.fetchval("SELECT count(*) FROM events WHERE type = 'matches'") == told


async def test_new_weights_apply_from_the_next_job(database: Database, worker: MatchWorker) -> None:
    old, young = await add_celebrities(database, famous(1, age=80), famous(2, -ALIKE, age=30))
    ada = await add_person(database)
    await worker.process()
    first = await database.fetch("SELECT * FROM celebrity_matches ORDER BY id")
    for name, best in (("embedding", old), ("age", young)):
        weights = {**dict.fromkeys(Weights().as_dict(), 0.0), name: 1.0}
        await database.execute(
            "UPDATE system_settings SET value = $1 WHERE key = 'matching_weights'", weights
        )
        await match_again(database, worker, ada)
        found = await database.fetch("SELECT * FROM celebrity_matches ORDER BY similarity_score DESC")
        assert found[0]["celebrity_id"] == best
        assert found[0]["weights"] == weights
        if name == "embedding":
            # The same row, not a new one.
            assert found[0]["id"] in {row["id"] for row in first}


async def test_celebrities_that_no_longer_qualify_are_removed(
    database: Database, worker: MatchWorker
) -> None:
    gone, dim, other, stays = await add_celebrities(database, *(famous(number) for number in range(4)))
    ada = await add_person(database)
    await worker.process()
    assert set(await stars(database, ada)) == {gone, dim, other, stays}
    await database.execute("DELETE FROM celebrities WHERE id = $1", gone)
    await database.execute("UPDATE celebrities SET quality_score = .1 WHERE id = $1", dim)
    await database.execute("UPDATE celebrities SET gender = 'female' WHERE id = $1", other)
    (new,) = await add_celebrities(database, famous(9))
    await match_again(database, worker, ada)
    assert set(await stars(database, ada)) == {stays, new}


async def test_matches_with_users_stay_even_if_others_are_better(
    database: Database, worker: MatchWorker
) -> None:
    """The other user may have found them, and reactions, chats and pictures refer to them."""
    (bob,) = [await add_person(database, gender="male", face={"age": 36})]
    ada = await add_person(database)
    await worker.process()
    for _ in range(BEST):
        await add_person(database, gender="male")
    await match_again(database, worker, ada)
    assert bob in await partners(database, ada)
    assert len(await partners(database, ada)) == BEST + 1


async def test_concurrent_jobs_over_the_same_pairs_store_each_pair_once(
    database: Database, worker: MatchWorker, dsn: str, tmp_path: Path
) -> None:
    women = [await add_person(database) for _ in range(8)]
    men = [await add_person(database, gender="male") for _ in range(8)]
    others = [await Database.connect(dsn, pool_size=4) for _ in range(3)]
    settings = Settings(home=tmp_path)
    crowd = [
        MatchWorker(other, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)
        for other in others
    ]
    outcomes = [
        outcome
        for done in await asyncio.gather(*(each.process() for each in (worker, *crowd)))
        for outcome in done
    ]
    for other in others:
        await other.close()
    assert {outcome.status for outcome in outcomes} == {"completed"}
    assert len(outcomes) == len({outcome.job_id for outcome in outcomes}) == 16
    assert await database.fetchval("SELECT count(*) FROM matches") == 64
    for woman in women:
        assert await partners(database, woman) == set(men)


async def test_a_job_sees_what_the_one_before_it_of_its_face_has_written(
    database: Database, worker: MatchWorker, dsn: str
) -> None:
    first, second = await add_celebrities(database, famous(1), famous(2))
    face = await add_person(database)
    await database.execute(
        "INSERT INTO match_jobs (face_id, user_id) SELECT face_id, user_id FROM match_jobs"
    )
    before, after = await worker._jobs.claim(worker.id, 2, timedelta(minutes=1))
    matching, probe, rules = Matching(database), ProbeFace.of(face, after.face), MatchRules(Weights(), 0.5)
    other = await Database.connect(dsn, pool_size=1)
    async with other.transaction() as connection:
        terms = (DIGEST, MIN_QUALITY, rules.weights.as_dict(), rules.threshold, BEST)
        await connection.execute(
            queries["complete_match_job"],
            before.id,
            worker.id,
            1,
            *terms,
            False,
            [first],
            None,
            None,
            None,
            None,
        )
        waiting = asyncio.create_task(matching.complete(after, probe, rules, Shortlist([second])))
        blocked = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        while not await connection.fetchval(blocked):
            await connection.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.01)
    await other.close()
    result = await waiting
    assert result is not None and result.celebrity_matches == 1
    assert await stars(database, face) == [second]


async def test_a_job_finds_who_joined_the_gallery_since_it_was_last_read(
    database: Database, worker: MatchWorker
) -> None:
    """The gallery rests, so the search itself does not look."""
    (first,) = await add_celebrities(database, famous(1))
    face = await add_person(database)
    for _ in range(3):
        await match_again(database, worker, face)
        assert await stars(database, face) == [first]
    (second,) = await add_celebrities(database, famous(2))
    outcome = await match_again(database, worker, face)
    assert (outcome.status, outcome.celebrity_matches) == ("completed", 2)
    assert set(await stars(database, face)) == {first, second}
    await database.execute("DELETE FROM celebrities WHERE id = $1", first)
    assert (await match_again(database, worker, face)).celebrity_matches == 1


async def test_a_short_list_of_an_earlier_gallery_or_of_another_server_is_not_used(
    database: Database, worker: MatchWorker
) -> None:
    (first,) = await add_celebrities(database, famous(1))
    face = await add_person(database)
    await worker._search.prepare(DIGEST)
    seen = worker._search._galleries[DIGEST].position
    (job,) = await worker._jobs.claim(worker.id, 1, timedelta(minutes=1))
    matching, probe, rules = Matching(database), ProbeFace.of(face, job.face), MatchRules(Weights(), 0.5)
    with pytest.raises(OutdatedShortlistError):
        await matching.complete(job, probe, rules, Shortlist([first], replace(seen, server="long ago")))
    async with database.transaction() as connection:
        # Its entry in the log is visible later than those of others that began after it.
        await connection.execute("SELECT pg_current_xact_id()")
        await add_celebrities(database, famous(2))
        await worker._search.prepare(DIGEST)
        seen = worker._search._galleries[DIGEST].position
        await connection.execute(
            "INSERT INTO celebrity_changes (id, celebrity_id) OVERRIDING SYSTEM VALUE VALUES (0, $1)", first
        )
    with pytest.raises(OutdatedShortlistError):
        await matching.complete(job, probe, rules, Shortlist([first], seen))
    assert await stars(database, face) == []
    await worker._search.prepare(DIGEST)
    seen = worker._search._galleries[DIGEST].position
    result = await matching.complete(job, probe, rules, Shortlist([first], seen))
    assert result is not None and await stars(database, face) == [first]


async def test_a_worker_of_the_version_before_ends_its_job_during_an_upgrade(
    database: Database, worker: MatchWorker
) -> None:
    (star,) = await add_celebrities(database, famous(1))
    face = await add_person(database)
    (job,) = await worker._jobs.claim(worker.id, 1, timedelta(minutes=1))
    ended = await database.fetchrow(
        "SELECT * FROM complete_match_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        *(job.id, worker.id, 1, DIGEST, MIN_QUALITY, Weights().as_dict(), 0.5, BEST, True, [star], None),
    )
    assert ended is not None
    assert tuple(ended) == (DIGEST, 0, 1)
    assert await stars(database, face) == [star]


async def test_deleting_a_face_during_its_job_is_not_an_error(
    database: Database, worker: MatchWorker
) -> None:
    face = await add_person(database)
    (job,) = await worker._jobs.claim(worker.id, 1, timedelta(minutes=1))
    await database.execute("DELETE FROM faces WHERE id = $1", face)
    assert (await worker._worker.work(job)).status == "lost"
    assert uuid4() not in await partners(database, face)
