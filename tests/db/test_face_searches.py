"""Searches among users' faces: what they find, how, and what is recorded of them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from pydantic import SecretStr

from db.face_searches import FACES, FaceHit, FaceSearches, Searcher
from db.pool import Database
from db.profiles import StatedGender
from db.queries import queries
from db.retention import remove_in_steps
from matching.worker import MatchWorker
from semblance.errors import PackMismatchError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import ModelInfo
from tests.support.no_models import NoModels
from tests.support.rows import DIGEST, OTHER_DIGEST, embeddings
from tests.support.rows_many import FACES_EACH, SCHOOLS, vectors
from tests.support.rows_matching import ALIKE, add_person
from tests.support.waiting import wait_until

ADMIN = Searcher(profile_id=uuid4())
PROBE = embeddings(1, seed=9)[0]
RECORD = "INSERT INTO face_searches (created_at, api_key_id, max_results, results, request_id) VALUES "


async def search(
    database: Database,
    *,
    limit: int = 10,
    school: str | None = None,
    gender: StatedGender | None = None,
    pack_digest: str = DIGEST,
) -> list[FaceHit]:
    return await FaceSearches(database).nearest(
        PROBE if school is None or school.startswith("school") else ALIKE,
        pack_digest=pack_digest,
        searcher=ADMIN,
        request_id="r-1",
        limit=limit,
        school=school,
        gender=gender,
    )


@pytest.mark.parametrize(
    ("school", "gender"),
    [(None, None), (None, "female"), ("school 3", None), ("school 3", "female"), ("school 3", "male")],
)
@pytest.mark.parametrize("exact_share", [0, 2], ids=["index", "exact"])
async def test_the_most_similar_that_pass_are_found_and_recorded(
    many_faces: Database,
    monkeypatch: pytest.MonkeyPatch,
    exact_share: float,
    school: str | None,
    gender: StatedGender | None,
) -> None:
    monkeypatch.setattr("db.nearest._EXACT_SHARE", exact_share)
    users = np.arange(len(vectors())) // FACES_EACH
    passing = np.full(len(vectors()), True)
    if school is not None:
        passing &= users % SCHOOLS == int(school.removeprefix("school "))
    if gender is not None:
        passing &= users % 2 == (gender == "female")
    similarities = np.where(passing, np.stack(vectors()) @ PROBE, -np.inf)
    expected = [f"faces/{n}.jpg" for n in np.argsort(-similarities)[:10] if passing[n]]
    hits = await search(many_faces, school=school, gender=gender)
    assert len(hits) == len(expected)
    assert len({hit.image_path for hit in hits} & set(expected)) >= 0.9 * len(expected)
    for hit in hits:
        number = int(hit.image_path.removeprefix("faces/").removesuffix(".jpg"))
        assert hit.name == f"User {number // FACES_EACH}"
        assert hit.school == f"school {number // FACES_EACH % SCHOOLS}"
        assert gender in {None, hit.gender}
        assert hit.similarity == pytest.approx(float(vectors()[number] @ PROBE), abs=1e-6)
    [record] = await many_faces.fetch("SELECT * FROM face_searches")
    assert record["profile_id"] == ADMIN.profile_id
    assert (record["school"], record["gender"]) == (school, gender)
    assert (record["max_results"], record["results"], record["request_id"]) == (10, len(hits), "r-1")


def scanned(plan: dict[str, Any]) -> set[str]:
    """Tables that are read from end to end."""
    own = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return own.union(*map(scanned, plan.get("Plans", [])))


async def test_the_search_uses_the_vector_index(many_faces: Database) -> None:
    async with many_faces.transaction() as connection:
        await connection.fetchrow(queries["tune_nearest"], "400")
        plan = await connection.fetchval(
            "EXPLAIN (FORMAT JSON) " + queries["nearest_faces"], PROBE, DIGEST, None, None, 10
        )
        assert '"Index Name": "faces_embedding_half_idx"' in plan
        assert not {"faces", "profiles"} & scanned(json.loads(plan)[0]["Plan"])
        assert await FACES.leaves_few(connection, DIGEST, "school 3", None)
        assert not await FACES.leaves_few(connection, DIGEST, None, "female")


@pytest.mark.parametrize(
    ("profile", "face"),
    [
        ({"profile_type": "celebrity"}, {}),
        ({"school": "yale"}, {}),
        ({"gender": "male"}, {}),
        ({"gender": None}, {"gender": "female"}),
        ({}, {"pack_digest": OTHER_DIGEST}),
        ({}, {"embedding": None, "pack_digest": None}),
    ],
)
async def test_others_are_not_found(
    database: Database, profile: dict[str, object], face: dict[str, object]
) -> None:
    ada = await add_person(database)
    await add_person(database, face=face, **profile)
    assert [hit.face_id for hit in await search(database, school="mit", gender="female")] == [ada]


async def test_faces_of_another_pack_are_an_error_and_a_record(database: Database) -> None:
    await add_person(database, face={"pack_digest": OTHER_DIGEST})
    with pytest.raises(PackMismatchError) as caught:
        await search(database)
    assert OTHER_DIGEST in caught.value.message
    assert await database.fetchval("SELECT results FROM face_searches") == 0


async def test_what_finds_nothing_is_recorded(database: Database) -> None:
    assert await search(database) == []
    assert await database.fetchval("SELECT results FROM face_searches") == 0


async def test_records_are_kept_as_long_as_the_settings_say(
    database: Database, dsn: str, service_dsn: str, tmp_path: Path
) -> None:
    for days in (0, 29, 31, 366):
        await database.execute(f"{RECORD} (now() - interval '{days} days', $1, 10, 1, 'r')", uuid4())
    application = await Database.connect(service_dsn, pool_size=2)
    settings = Settings(home=tmp_path, database_url=SecretStr(service_dsn))
    worker = MatchWorker(application, open_storage(settings), NoModels(), ModelInfo("test", DIGEST), settings)
    try:
        running = asyncio.create_task(worker.run())
        await wait_until(database, "SELECT count(*) = 3 FROM face_searches")
        running.cancel()
        # No setting makes the application remove newer records.
        await remove_in_steps(application, queries["prune_face_searches"], timedelta())
    finally:
        await application.close()
    ages = await database.fetch("SELECT extract(day FROM now() - created_at)::int AS days FROM face_searches")
    assert sorted(row["days"] for row in ages) == [0, 29]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE face_searches SET results = 0",
        "TRUNCATE face_searches",
        "SELECT profile_id FROM face_searches",
        f"{RECORD} (now() - interval '1 year', gen_random_uuid(), 10, 1, 'r')",
    ],
)
def test_the_application_adds_records_and_nothing_more(service_dsn: str, statement: str) -> None:
    with psycopg.connect(service_dsn) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement.encode())


@pytest.mark.parametrize("who", [(None, None, None), (uuid4(), uuid4(), None), (uuid4(), None, uuid4())])
async def test_a_record_names_one_who_searched(
    database: Database, who: tuple[UUID | None, UUID | None, UUID | None]
) -> None:
    with pytest.raises(Exception, match="face_searches_who_check"):
        await database.execute(queries["record_face_search"], *who, None, None, 10, 0, "r")
