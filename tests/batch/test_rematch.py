"""A rematch of everything gives the tables that match jobs of single faces would give, even after a kill."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psutil
import psycopg
import pytest
from pydantic import SecretStr
from rich.console import Console

import batch.rematch.job
from batch.rematch.job import RematchSummary, rematch
from db import copy_arrays
from db.pool import Database
from db.system_settings import SystemSettingsTable
from matching import gallery_arrays
from matching.gallery_arrays import GalleryArrays
from matching.rematch import Rematch, RematchCounts, Scope, ShardMatches
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import ModelInfo
from semblance.weights import Weights
from tests.support.no_models import NoModels
from tests.support.rows import DIGEST, OTHER_DIGEST
from tests.support.rows_matching import add_celebrities, add_face, add_person, add_user, famous, varied
from tests.support.waiting import wait_for

EVERYTHING = Scope(("users", "celebrities"), None, None, 8)
FACES = 60
SCHOOLS = ("mit", "mit", "mit", "yale", "yale", "uni.edu", "x", None)
STATED = ("male", "male", "male", "female", "female", "female", "other", None)

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_address")]


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEMBLANCE_HOME", str(tmp_path))
    monkeypatch.setattr(batch.rematch.job, "TASK_FACES", 3)
    monkeypatch.setattr(gallery_arrays, "BLOCK", 40)
    monkeypatch.setattr(copy_arrays, "ROWS", 16)


async def run(dsn: str, scope: Scope = EVERYTHING, *, dry_run: bool = False) -> RematchSummary:
    settings = Settings(database_url=SecretStr(dsn))
    return await rematch(scope, settings, Console(file=io.StringIO()), dry_run=dry_run)


async def populate(database: Database) -> None:
    """Faces and celebrities of all kinds, of two model packs, some with missing data."""
    random = np.random.default_rng(5)
    await add_celebrities(database, *varied(150, seed=3))
    await add_celebrities(
        database,
        *(
            famous(1000 + number, gender=None, seen_gender=seen)
            for number, seen in enumerate((None, None, "male", "female"))
        ),
    )
    await add_celebrities(
        database, *(famous(2000 + number, pack_digest=OTHER_DIGEST) for number in range(30))
    )
    for number, row in enumerate(varied(FACES, seed=4)):
        user = await add_user(
            database,
            school=SCHOOLS[int(random.integers(len(SCHOOLS)))],
            gender=STATED[int(random.integers(len(STATED)))],
        )
        await add_face(
            database,
            user,
            pack_digest=OTHER_DIGEST if number % 9 == 0 else DIGEST,
            **{
                name: None if random.random() < 0.1 else getattr(row, name)
                for name in ("age", "quality_score", "symmetry_score", "skin_tone_lab", "geometry_ratios")
            },
            expression=row.expression,
            embedding=row.embedding,
        )
    await add_person(database, face={"embedding": None, "pack_digest": None})
    await SystemSettingsTable(database).change({"match_threshold": 0.6}, by=await add_user(database))


async def by_jobs(database: Database, home: Path) -> None:
    """Match face by face, as the service does."""
    settings = Settings(home=home, database_url=SecretStr("postgresql://unused"))
    worker = MatchWorker(database, open_storage(settings), NoModels(), ModelInfo("t", DIGEST), settings)
    await database.execute(
        "DELETE FROM match_jobs USING faces WHERE faces.id = face_id AND embedding IS NULL"
    )
    # One call works for a limited time only.
    while outcomes := await worker.process(2 * FACES):
        assert {outcome.status for outcome in outcomes} == {"completed"}


KEYS = {"matches": "face_a_id, face_b_id", "celebrity_matches": "face_id, celebrity_id"}


def tables(
    dsn: str, columns: str = "similarity_score, weights, to_jsonb(m) AS row"
) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = {}
    with psycopg.connect(dsn) as connection:
        for table, keys in KEYS.items():
            rows = connection.execute(f"SELECT {keys}, {columns} FROM {table} AS m").fetchall()
            found[table] = {row[:2]: row[2:] for row in rows}
    return found


def assert_equal_matches(one: str, other: str) -> None:
    left, right = tables(one), tables(other)
    for table in KEYS:
        assert left[table].keys() == right[table].keys()
        for key, (score, weights, row) in left[table].items():
            assert right[table][key][0] == pytest.approx(score, abs=1e-6)
            assert right[table][key][1] == weights
            for name, value in row.items():
                if name.startswith("factor_"):
                    assert right[table][key][2][name] == pytest.approx(value, abs=1e-6)


@pytest.fixture
async def population(dsn: str, database: Database) -> Database:
    await populate(database)
    return database


async def test_the_tables_equal_those_of_match_jobs(
    dsn: str, service_dsn: str, database: Database, copy_database: Callable[[], str], tmp_path: Path
) -> None:
    await populate(database)
    await database.close()
    other = copy_database()
    jobs = await Database.connect(other, pool_size=4)
    await by_jobs(jobs, tmp_path)
    await jobs.close()

    would = await run(service_dsn, dry_run=True)
    assert tables(dsn) == {table: {} for table in KEYS}
    summary = await run(service_dsn)
    assert_equal_matches(dsn, other)
    stored = tables(dsn)
    assert min(len(rows) for rows in stored.values()) > FACES
    assert summary.changes == would.changes
    assert summary.changes[1:] == (sum(map(len, stored.values())), 0, 0)
    assert (summary.undescribed, summary.resumed) == (1, 0)

    # A second run searches no celebrities and writes nothing; nor does one that searches them all the same.
    before = tables(dsn, "xmin::text, ctid::text")
    again = await run(service_dsn)
    assert again.settled == again.faces["celebrities"] == FACES
    assert 0 < again.changes.pairs < summary.changes.pairs
    everything = await run(service_dsn, replace(EVERYTHING, settled=True))
    assert (everything.settled, everything.changes.pairs) == (0, summary.changes.pairs)
    assert again.changes[1:] == everything.changes[1:] == (0, 0, 0)
    assert tables(dsn, "xmin::text, ctid::text") == before


async def test_celebrities_of_unknown_gender_are_matched_once_it_is_predicted(
    dsn: str, database: Database
) -> None:
    ada = await add_person(database)
    known, unknown, woman = await add_celebrities(
        database, famous(1), famous(2, gender=None), famous(3, gender=None)
    )
    await run(dsn)
    assert set(tables(dsn)["celebrity_matches"]) == {(ada, known)}
    seen = (famous(2, gender=None, seen_gender="male"), famous(3, gender=None, seen_gender="female"))
    assert set(await add_celebrities(database, *seen)) == {unknown, woman}
    summary = await run(dsn)
    assert summary.changes[1:] == (1, 0, 0)
    assert set(tables(dsn)["celebrity_matches"]) == {(ada, known), (ada, unknown)}


async def test_a_match_that_is_no_longer_found_is_removed_unless_it_is_in_use(
    dsn: str, database: Database
) -> None:
    ada = await add_person(database)
    men = [await add_person(database, gender="male") for _ in range(3)]
    stars = await add_celebrities(database, famous(1), famous(2))
    await run(dsn)
    assert len(tables(dsn)["matches"]) == 3
    assert {key[1] for key in tables(dsn)["celebrity_matches"]} == set(stars)
    ids = {
        man: await database.fetchval("SELECT id FROM matches WHERE $1 IN (face_a_id, face_b_id)", man)
        for man in men
    }
    user = await database.fetchval("SELECT profile_id FROM faces WHERE id = $1", ada)
    for man, reaction in ((men[0], "like"), (men[1], "viewed")):
        await database.execute(
            "INSERT INTO reactions (user_profile_id, match_id, reaction_type) VALUES ($1, $2, $3)",
            *(user, ids[man], reaction),
        )
    await database.execute("UPDATE faces SET quality_score = 0.1 WHERE id = ANY($1::uuid[])", men)
    await database.execute("UPDATE faces SET quality_score = 0.1 WHERE id = $1", ada)
    await database.execute("UPDATE celebrities SET quality_score = 0.1 WHERE id = $1", stars[0])
    summary = await run(dsn)
    assert summary.changes[1:] == (0, 0, 3)
    left = {row["id"] for row in await database.fetch("SELECT id FROM matches")}
    assert left == {ids[men[0]]}
    assert {key[1] for key in tables(dsn)["celebrity_matches"]} == {stars[1]}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (EVERYTHING, (2, 4)),
        (Scope(("users",), None, None, 8), (2, 0)),
        (Scope(("celebrities",), None, None, 1), (0, 4)),
        (Scope(("users", "celebrities"), None, "yale", 8), (1, 2)),
        # Of yale's woman, who came last.
        (
            Scope(("users", "celebrities"), datetime(2026, 5, 1, tzinfo=UTC), None, 8),
            (1, 1),
        ),
        (
            Scope(("users", "celebrities"), datetime(2999, 1, 1, tzinfo=UTC), None, 8),
            (0, 0),
        ),
    ],
)
async def test_a_rematch_stays_within_its_scope(
    dsn: str, database: Database, scope: Scope, expected: tuple[int, int]
) -> None:
    old = datetime(2026, 1, 1, tzinfo=UTC)
    new = datetime(2026, 6, 1, tzinfo=UTC)
    for school, stored in (("mit", old), ("yale", new)):
        await add_person(database, school=school, face={"created_at": stored})
        await add_person(database, school=school, gender="male", face={"created_at": old})
    await add_celebrities(database, famous(1, gender="male"), famous(2, gender="female"))
    await run(dsn, scope)
    found = tables(dsn)
    assert (len(found["matches"]), len(found["celebrity_matches"])) == expected


async def test_since_removes_no_pair_that_was_not_searched(dsn: str, database: Database) -> None:
    await add_person(database)
    bob = await add_person(database, gender="male")
    await run(dsn)
    await database.execute("UPDATE faces SET quality_score = 0.1, created_at = '2026-01-01'")
    await database.execute("UPDATE faces SET created_at = '2026-06-01' WHERE id = $1", bob)
    summary = await run(dsn, Scope(("users",), datetime(2026, 5, 1, tzinfo=UTC), None, 8))
    assert summary.changes[1:] == (0, 0, 0)
    assert (await run(dsn)).changes.removed == 1


async def test_changes_since_the_reading_are_respected(dsn: str, database: Database, tmp_path: Path) -> None:
    """A profile moves, and a celebrity comes and is found by a job, while a shard is being scored."""
    ada = await add_person(database)
    bob = await add_person(database, gender="male")
    tables_of = Rematch(database)
    begun = await tables_of.begin(EVERYTHING, dry_run=False)
    users, celebrities = begun.left
    faces = await tables_of.faces(users, EVERYTHING)
    job = batch.rematch.job._RematchRun(database, Settings(home=tmp_path), Console(file=io.StringIO()))
    found = await job._pairs_of_users(begun, users, faces)
    assert {UUID(bytes=bytes(key)) for key in found.face} == {ada, bob}
    alone = await tables_of.faces(celebrities, EVERYTHING)
    nobody = await job._pairs_with_celebrities(
        begun, celebrities, alone, batch.rematch.job._PackGallery(GalleryArrays(), None)
    )
    await database.execute("UPDATE profiles SET school = 'yale' WHERE gender = 'male'")
    [star] = await add_celebrities(database, famous(1))
    await database.execute(
        "INSERT INTO celebrity_matches (face_id, celebrity_id, similarity_score) VALUES ($1, $2, 1)",
        ada,
        star,
    )
    assert (await tables_of.write(begun, users, faces, found))[1:] == (0, 0, 0)
    assert (await tables_of.write(begun, celebrities, alone, nobody))[1:] == (0, 0, 0)
    assert set(tables(dsn)["celebrity_matches"]) == {(ada, star)}


async def test_faces_switched_to_another_pack_meanwhile_keep_their_matches(
    dsn: str, database: Database
) -> None:
    """As after batch.reembed's switch: matches found by the old embeddings are not written."""
    for gender in ("female", "male"):
        await add_person(database, gender=gender)
    await add_celebrities(database, famous(1))
    await run(dsn)
    before = tables(dsn)
    assert all(before.values())
    rematches = Rematch(database)
    begun = await rematches.begin(Scope(("users", "celebrities"), None, None, 9), dry_run=False)
    empty = np.empty(0)
    for shard in begun.left:
        faces = await rematches.faces(shard, begun.scope)
        nothing = ShardMatches(faces.ids[:0], faces.ids[:0], empty, np.empty((6, 0)), 0)
        await database.execute("UPDATE faces SET pack_digest = $1", OTHER_DIGEST)
        await database.execute("UPDATE celebrities SET pack_digest = $1", OTHER_DIGEST)
        assert (await rematches.write(begun, shard, faces, nothing)) == RematchCounts()
        await database.execute("UPDATE faces SET pack_digest = $1", DIGEST)
        await database.execute("UPDATE celebrities SET pack_digest = $1", DIGEST)
    assert tables(dsn) == before


async def test_a_like_during_the_removal_keeps_its_match(dsn: str, database: Database) -> None:
    ada = await add_person(database)
    await add_person(database, gender="male")
    await run(dsn)
    await database.execute("UPDATE faces SET quality_score = 0.1")
    user = await database.fetchval("SELECT profile_id FROM faces WHERE id = $1", ada)
    async with database.transaction() as connection:
        await connection.execute(
            "INSERT INTO reactions (user_profile_id, match_id, reaction_type) SELECT $1, id, 'like'"
            " FROM matches",
            user,
        )
        task = asyncio.create_task(run(dsn))
        while not await database.fetchval(  # noqa: ASYNC110 - nothing else tells
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock')"
        ):
            await asyncio.sleep(0.01)
    assert (await task).changes.removed == 0
    assert len(tables(dsn)["matches"]) == 1


async def test_a_run_with_other_rules_starts_over(database: Database) -> None:
    await add_person(database)
    rematches = Rematch(database)
    first = await rematches.begin(EVERYTHING, dry_run=False)
    assert (await rematches.begin(EVERYTHING, dry_run=False)).id == first.id
    assert (await rematches.begin(Scope(("users",), None, None, 8), dry_run=False)).id != first.id
    await SystemSettingsTable(database).change(
        {"matching_weights": Weights(0.3, 0.1, 0.15, 0.15, 0.15, 0.15)}, by=await add_user(database)
    )
    second = await rematches.begin(EVERYTHING, dry_run=False)
    assert second.id != first.id
    await rematches.complete(second)
    assert (await rematches.begin(EVERYTHING, dry_run=False)).id != second.id


def workers() -> list[psutil.Process]:
    """This Ray's scoring processes."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "".join(process.cmdline()).startswith("ray::rematch"):
                found.append(process)
        except psutil.Error:
            continue
    return found


def done(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM rematch_shards WHERE completed_at IS NOT NULL"
        ).fetchone()
    assert row is not None
    return int(row[0])


async def test_kills_change_nothing(
    dsn: str, database: Database, copy_database: Callable[[], str], ray_address: str
) -> None:
    """The driver is killed; the same command is run again, and its workers are killed."""
    await populate(database)
    await database.close()
    other = copy_database()
    shards = await planned(dsn)
    with held_up(dsn, shards // 2), start(dsn, ray_address) as driver:
        wait_for(lambda: done(dsn) >= 3)
        driver.kill()
    assert driver.returncode == -signal.SIGKILL
    before = done(dsn)

    with start(dsn, ray_address) as again:
        with held_up(dsn, shards - 3):
            wait_for(lambda: done(dsn) > before and bool(workers()))
            for victim in workers():
                victim.kill()
        output, _ = again.communicate()
    assert again.returncode == 0
    assert re.search(rf"of which done before\D+{before}\b", output)

    await run(other)
    assert_equal_matches(dsn, other)
    assert (await run(dsn)).changes[1:] == (0, 0, 0)


async def planned(dsn: str) -> int:
    """Begin the run that the command goes on with; how many shards it has."""
    database = await Database.connect(dsn, pool_size=1)
    run = await Rematch(database).begin(replace(EVERYTHING, shard_size=1), dry_run=False)
    await database.close()
    return len(run.left)


@contextmanager
def held_up(dsn: str, number: int) -> Iterator[None]:
    """Meanwhile no shard from this number on is completed, however long it takes to kill something."""
    with psycopg.connect(dsn) as gate:
        gate.execute("SELECT FROM rematch_shards WHERE number >= %s FOR UPDATE", [number])
        yield
        gate.rollback()


def start(dsn: str, address: str) -> subprocess.Popen[str]:
    """The command, as a job runs it."""
    return subprocess.Popen(
        [sys.executable, "-m", "batch.rematch", "--shard-size", "1"],
        env={**os.environ, "RAY_ADDRESS": address, "SEMBLANCE_DATABASE_URL": dsn},
        stdout=subprocess.PIPE,
        text=True,
    )
