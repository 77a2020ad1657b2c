"""What storing a face writes, and what it waits for."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest

from db.analyzed import AnalyzedRow
from db.faces import _COLUMNS, FaceRow, Faces
from db.pool import Database
from db.queries import queries
from semblance.errors import DuplicatePictureError
from tests.support.rows import celebrity
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
