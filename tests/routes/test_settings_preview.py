"""The preview of new weights that an admin gets before setting them."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from semblance.weights import Weights
from tests.support.api import Api, User
from tests.support.rows_scored import (
    EXACT,
    OTHER_EXACT,
    add_faces,
    add_matches,
    add_old,
    add_stars,
    set_rules,
    tables,
)

PATH = "/api/admin/settings/preview"


@pytest.fixture
async def admin(api: Api) -> User:
    return await api.member("Root", role="admin")


async def preview(api: Api, user: User, body: object) -> httpx.Response:
    return await api.client.post(PATH, json=body, headers=user.headers)


async def test_what_appears_vanishes_and_moves(api: Api, admin: User) -> None:
    faces, stars = await add_faces(api.owner, 4), await add_stars(api.owner, 2)
    # By the embedding alone, and by all but the embedding.
    alike, akin = [1, 0.5, 0, 0, 0.5, 0], [0.25, 1, 1, 1, 0, 1]
    factors = np.array([alike, akin, akin])
    pairs = [(faces[0], faces[1]), (faces[0], faces[2]), (faces[1], faces[2])]
    await add_matches(api.owner, pairs, factors, EXACT)
    await add_matches(
        api.owner, [(faces[3], star) for star in stars], factors[:2], EXACT, table="celebrity_matches"
    )
    await add_old(api.owner, "celebrity_matches", [(faces[0], stars[0])])
    await set_rules(api.owner, EXACT, 0.5)
    untouched = await tables(api.owner)
    settings = await api.owner.fetch("SELECT * FROM system_settings ORDER BY key")

    answer = await preview(api, admin, {"weights": OTHER_EXACT.as_dict(), "threshold": 0.375})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["rules_before"] == {"weights": EXACT.as_dict(), "threshold": 0.5}
    assert found["rules_after"] == {"weights": OTHER_EXACT.as_dict(), "threshold": 0.375}
    users, celebrities = found["user_matches"], found["celebrity_matches"]
    assert _counts(users) == {"before": 2, "after": 3, "appear": 1, "vanish": 0, "move": 2}
    assert (users["without_factors"], users["vanish_in_use"]) == (0, 0)
    [appears] = users["appearing"]
    assert appears["before"] == {"similarity_score": 0.4375, "similarity_percentage": 44}
    assert appears["after"] == {"similarity_score": 0.625, "similarity_percentage": 63}
    assert [appears["a"]["face_id"], appears["b"]["face_id"]] == [str(face) for face in pairs[0]]
    assert [(side["rank_before"], side["rank_after"]) for side in (appears["a"], appears["b"])] == [
        (None, 1)
    ] * 2
    for side in (appears["a"], appears["b"]):
        assert side["picture_url"].startswith("http://api/")
        assert side["name"] == await api.owner.fetchval(
            "SELECT name FROM profiles WHERE id = $1", side["user_id"]
        )
    # Both were first somewhere and are second there now.
    assert {
        (side["rank_before"], side["rank_after"])
        for match in users["moving"]
        for side in (match["a"], match["b"])
    } >= {(1, 2)}

    assert _counts(celebrities) == {"before": 1, "after": 2, "appear": 1, "vanish": 0, "move": 1}
    assert celebrities["without_factors"] == 1
    [appears], [moves] = celebrities["appearing"], celebrities["moving"]
    assert appears["celebrity"]["id"] == str(stars[0])
    assert appears["celebrity"]["name"].startswith("Star ")
    assert appears["celebrity"]["picture_url"] != appears["face"]["picture_url"]
    assert moves["face"]["face_id"] == str(faces[3])
    assert (moves["face"]["rank_before"], moves["face"]["rank_after"]) == (1, 2)
    assert "batch.rematch --dry-run" in found["unknown"]

    assert await tables(api.owner) == untouched
    assert await api.owner.fetch("SELECT * FROM system_settings ORDER BY key") == settings


async def test_examples_are_bounded_and_the_threshold_is_the_present_one(api: Api, admin: User) -> None:
    faces, stars = await add_faces(api.owner, 2), await add_stars(api.owner, 15)
    pairs = [(face, star) for face in faces for star in stars]
    await add_matches(api.owner, pairs, np.full((30, 6), 0.25), EXACT, table="celebrity_matches")
    await set_rules(api.owner, EXACT, 0.25)
    same = await preview(api, admin, {"weights": EXACT.as_dict()})
    assert _counts(same.json()["celebrity_matches"]) == {
        "before": 30, "after": 30, "appear": 0, "vanish": 0, "move": 0
    }  # fmt: skip
    higher = await preview(api, admin, {"weights": EXACT.as_dict(), "threshold": 0.26})
    found = higher.json()["celebrity_matches"]
    assert (found["after"], found["vanish"], len(found["vanishing"])) == (0, 30, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": {**EXACT.as_dict(), "age": 0.2}},
        {"weights": {"embedding": 1}},
        {"weights": None},
        {"weights": {**EXACT.as_dict(), "hair": 0}},
        {"weights": {**EXACT.as_dict(), "age": -0.125, "embedding": 0.5}},
        {"threshold": 1.5},
        {"threshold": -0.1},
        {"threshold": "0.5"},
        {"limit": 5},
    ],
)
async def test_invalid_weights(api: Api, admin: User, change: dict[str, Any]) -> None:
    answer = await preview(api, admin, {"weights": Weights().as_dict(), **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_only_admins(api: Api) -> None:
    body = {"weights": Weights().as_dict()}
    member = await api.member("Ada")
    assert (await api.client.post(PATH, json=body)).status_code == 401
    answer = await preview(api, member, body)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def _counts(found: dict[str, Any]) -> dict[str, int]:
    return {name: found[name] for name in ("before", "after", "appear", "vanish", "move")}
