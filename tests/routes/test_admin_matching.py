"""Scores of stored matches, and rescoring, as operators see and start them."""

from __future__ import annotations

import uuid
from datetime import timedelta

import numpy as np
import pytest

from db.rescorings import Rescorings
from matching.rescorer import Rescorer
from tests.support.api import Api, User
from tests.support.rows_scored import EXACT, OTHER_EXACT, add_faces, add_matches, set_rules

PATH = "/api/admin/matching"
LEASE = timedelta(seconds=30)


@pytest.fixture
async def admin(api: Api) -> User:
    return await api.member("Root", role="admin")


async def test_scores_are_counted_by_bins(api: Api, admin: User) -> None:
    faces = await add_faces(api.owner, 3)
    pairs = [(faces[0], faces[1]), (faces[0], faces[2]), (faces[1], faces[2])]
    await add_matches(api.owner, pairs, np.ones((3, 6)), EXACT)
    await api.owner.execute("UPDATE matches SET similarity_score = 0.51 WHERE face_b_id = $1", max(faces[:2]))
    answer = (await api.client.get(f"{PATH}/scores", headers=admin.headers)).json()
    counts = answer["user_matches"]["counts"]
    assert (sum(counts), len(counts), answer["user_matches"]["sampled"]) == (3, 50, False)
    assert counts[25] + counts[49] == 3
    assert sum(answer["celebrity_matches"]["counts"]) == 0


async def test_a_worker_rescores_when_asked_and_another_goes_on(api: Api, admin: User) -> None:
    faces = await add_faces(api.owner, 3)
    pairs = [(faces[0], faces[1]), (faces[0], faces[2])]
    await add_matches(api.owner, pairs, np.array([[1, 0.5, 0, 0, 0.5, 0], [0.25, 1, 1, 1, 0, 1]]), EXACT)
    await set_rules(api.owner, OTHER_EXACT, 0.5)
    first = (await api.client.post(f"{PATH}/rescoring", headers=admin.headers)).json()["rescoring"]
    again = (await api.client.post(f"{PATH}/rescoring", headers=admin.headers)).json()["rescoring"]
    assert (first["id"], first["status"]) == (again["id"], "pending")
    # A worker that dies after it has taken it.
    database = api.services.database
    assert await Rescorings(database).claim(uuid.uuid4(), timedelta(seconds=-1)) == uuid.UUID(first["id"])
    await Rescorer(database, uuid.uuid4(), LEASE).work()
    done = (await api.client.get(f"{PATH}/rescoring", headers=admin.headers)).json()["rescoring"]
    assert (done["status"], done["done"], done["total"]) == ("completed", 2, 2)
    assert (done["rescored"], done["removed"]) == (1, 1)
    [kept] = await api.owner.fetch("SELECT weights FROM matches")
    assert kept["weights"] == OTHER_EXACT.as_dict()
    [record] = await api.owner.fetch("SELECT target FROM audit_log WHERE action = 'rescoring.start'")
    assert record["target"] == first["id"]
