"""What storing a face writes, and what it waits for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import uuid4

import pytest

from db.analyzed import AnalyzedRow
from db.faces import _COLUMNS, FaceRow, Faces
from db.pool import Database
from db.queries import queries
from semblance.errors import DuplicatePictureError, QuotaExceededError
from tests.support.rows import celebrity
from tests.support.rows_faces import set_limit
from tests.support.rows_matching import ALIKE, add_user


async def new_face(database: Database) -> FaceRow:
    analyzed = celebrity(1, ALIKE)
    own = {name: getattr(analyzed, name) for name in AnalyzedRow.__dataclass_fields__}
    key, user = uuid4(), await add_user(database)
    return FaceRow(
        **own, id=key, profile_id=user, image_path=f"faces/{key}.jpg", image_hash=key.hex, gender="female"
    )


async def test_a_face_is_its_users_default_and_has_a_job(database: Database) -> None:
    face = await new_face(database)
    added = await Faces(database).add(face)
    stored = await database.fetchrow(
        "SELECT faces.created_at, default_face_id, match_jobs.id AS job, traceparent FROM faces"
        " JOIN profiles ON profiles.id = profile_id JOIN match_jobs ON face_id = faces.id"
        " WHERE faces.id = $1",
        face.id,
    )
    assert stored is not None
    assert tuple(stored) == (added.created_at, face.id, added.job_id, None)
    with pytest.raises(DuplicatePictureError):
        await Faces(database).add(replace(face, id=uuid4()))
    assert await database.fetchval("SELECT default_face_id FROM profiles") == face.id


async def test_the_transaction_of_the_events_does_not_wait_for_the_disk_and_the_one_after_it_does(
    database: Database,
) -> None:
    face = await new_face(database)
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL synchronous_commit = on")
        await connection.execute(queries["insert_face"], *(getattr(face, name) for name in _COLUMNS), None)
        assert await connection.fetchval("SHOW synchronous_commit") == "off"
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL synchronous_commit = on")
        await connection.execute(queries["stored_match_job"], face.id)
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
        # Only the commit of a transaction with a number is written, and waits for what is before it.
        assert await connection.fetchval("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")


async def uploads_counted(database: Database) -> int:
    return int(await database.fetchval("SELECT coalesce(sum(count), 0) FROM user_daily_quotas"))


async def test_an_upload_is_counted_unless_the_user_has_the_photo(database: Database) -> None:
    face, faces = await new_face(database), Faces(database)
    await set_limit(database, "photo_upload", 1)
    await faces.add(face)
    with pytest.raises(DuplicatePictureError):
        await faces.begin_upload(face.profile_id, face.image_hash)
    assert await uploads_counted(database) == 0
    day = await faces.begin_upload(face.profile_id, "another")
    assert (day, await uploads_counted(database)) == (datetime.now(UTC).date(), 1)
    # It is the same photo also when nothing is left of the day.
    with pytest.raises(DuplicatePictureError):
        await faces.begin_upload(face.profile_id, face.image_hash)
    with pytest.raises(QuotaExceededError) as caught:
        await faces.begin_upload(face.profile_id, "a third")
    assert (caught.value.details["limit"], caught.value.details["current"]) == (1, 1)
    await faces.forget_upload(face.profile_id, day)
    assert await faces.begin_upload(face.profile_id, "a third") == day


async def test_a_photo_of_another_user_is_no_duplicate(database: Database) -> None:
    face, faces = await new_face(database), Faces(database)
    await faces.add(face)
    other = await add_user(database)
    assert await faces.begin_upload(other, face.image_hash) == datetime.now(UTC).date()


@pytest.mark.parametrize(("limit", "allowed"), [(-1, 12), (0, 0), (5, 5)])
async def test_uploads_of_a_user_at_once_are_counted_up_to_the_limit(
    database: Database, limit: int, allowed: int
) -> None:
    user, faces = await add_user(database), Faces(database)
    await set_limit(database, "photo_upload", limit)
    ends = await asyncio.gather(
        *(faces.begin_upload(user, f"{number}") for number in range(12)), return_exceptions=True
    )
    assert sum(isinstance(end, date) for end in ends) == allowed
    assert sum(isinstance(end, QuotaExceededError) for end in ends) == 12 - allowed
    assert await uploads_counted(database) == allowed


async def test_the_count_of_an_upload_does_not_wait_for_the_disk_and_that_of_other_uses_does(
    database: Database,
) -> None:
    user = await add_user(database)
    for query, terms, waits in (
        ("take_upload", ("daily_photo_upload_limit", "a hash"), "off"),
        ("take_quota", ("baby_generation", "daily_baby_generation_limit"), "on"),
    ):
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL synchronous_commit = on")
            await connection.execute(queries[query], user, *terms)
            assert await connection.fetchval("SHOW synchronous_commit") == waits, query
