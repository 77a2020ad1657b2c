from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from matching.scoring import percentage
from tests.support.api import Api, User
from tests.support.rows_feed import FACTORS, add_celebrity_match, add_face, add_match, add_pair, add_profile

NOW = datetime.now(UTC)


async def get(api: Api, path: str, user: User | None = None, **query: Any) -> httpx.Response:
    return await api.client.get(
        f"/api/matches/{path}", params=query, headers=None if user is None else user.headers
    )


async def feed(api: Api, user: User | None = None, **query: Any) -> dict[str, Any]:
    answer = await get(api, "top", user, **query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def aged(api: Api, count: int, *, same_time: bool = False) -> list[str]:
    """Matches of two users, newest first; older than five minutes."""
    pair = await add_pair(api.services.database)
    await api.owner.execute("DELETE FROM matches")
    ids = []
    for number in range(count):
        face = await add_face(api.services.database, pair.a)
        created_at = NOW - timedelta(hours=1, seconds=0 if same_time else number)
        ids.append(str(await add_match(api.services.database, face, pair.face_b, created_at=created_at)))
    return sorted(ids, key=UUID, reverse=True) if same_time else ids


async def test_an_entry_of_the_feed(api: Api) -> None:
    ada, bob = await api.member("Ada", school="mit"), await api.member("Bob", school="cmu", gender="male")
    pair = await add_pair(api.services.database, ada.id, bob.id, score=0.875)
    body = await feed(api)
    [entry] = body["matches"]
    assert entry.keys() == {
        "id", "similarity_score", "similarity_percentage", "created_at", "rarity", "my_reaction", "users",
    }  # fmt: skip
    assert (entry["id"], entry["similarity_score"]) == (str(pair.match), 0.875)
    assert (entry["similarity_percentage"], entry["my_reaction"]) == (88, [])
    assert datetime.fromisoformat(entry["created_at"]).tzinfo is not None
    sides = {side["id"]: side for side in entry["users"].values()}
    image = sides[str(bob.id)].pop("image")
    assert image.startswith(f"http://api/objects/faces/{pair.face_b}.jpg?") and "signature=" in image
    # Stored unchanged, so it is also used for the smaller sizes.
    assert sides[str(bob.id)].pop("feed_url") == sides[str(bob.id)].pop("thumbnail_url") == image
    assert sides[str(bob.id)] == {
        "id": str(bob.id), "name": "Bob", "gender": "male", "school": "cmu", "face_id": str(pair.face_b),
        "online": None, "last_seen": None,
    }  # fmt: skip
    assert (body["total"], body["next_cursor"]) == (1, None)


@pytest.mark.parametrize(
    ("score", "percent"), [(0.0, 0), (0.125, 13), (0.124, 12), (0.995, 100), (0.994, 99), (1.0, 100)]
)
def test_percentage_is_rounded_half_up(score: float, percent: int) -> None:
    assert percentage(score) == percent


async def test_empty_feed(api: Api) -> None:
    assert await feed(api) == {"matches": [], "total": 0, "next_cursor": None}
    assert (await feed(api, skip=1_000_000))["matches"] == []


async def test_feed_is_newest_first_and_pages_by_skip(api: Api) -> None:
    ids = await aged(api, 5)
    first, second = await feed(api, limit=3), await feed(api, limit=3, skip=3)
    assert [entry["id"] for entry in first["matches"] + second["matches"]] == ids
    assert first["total"] == second["total"] == 5
    assert second["next_cursor"] is None


@pytest.mark.parametrize("same_time", [False, True])
async def test_pages_by_cursor_are_stable_while_matches_are_added(api: Api, *, same_time: bool) -> None:
    ids = await aged(api, 7, same_time=same_time)
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await feed(api, limit=2, **cursor)
        seen += [entry["id"] for entry in page["matches"]]
        await add_pair(api.services.database)
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == ids


async def test_new_is_the_last_five_minutes(api: Api) -> None:
    await aged(api, 3)
    pair = await add_pair(api.services.database)
    assert (await feed(api))["total"] == 4
    body = await feed(api, filter="new")
    assert ([entry["id"] for entry in body["matches"]], body["total"]) == ([str(pair.match)], 1)


async def test_viewed_is_what_the_caller_has_viewed(api: Api) -> None:
    ids = await aged(api, 4)
    user, other = await api.member("Ada"), await api.member("Bob")
    for viewer, match_id in ((user, ids[2]), (user, ids[0]), (other, ids[1])):
        answer = await api.client.post(f"/api/matches/{match_id}/view", headers=viewer.headers)
        assert answer.status_code == 200
    body = await feed(api, user, filter="viewed")
    assert ([entry["id"] for entry in body["matches"]], body["total"]) == ([ids[0], ids[2]], 2)
    assert body["matches"][0]["my_reaction"] == ["viewed"]
    assert (await get(api, "top", filter="viewed")).status_code == 401
    mine = {entry["id"]: entry["my_reaction"] for entry in (await feed(api, user))["matches"]}
    assert mine == {ids[0]: ["viewed"], ids[1]: [], ids[2]: ["viewed"], ids[3]: []}
    assert all(not entry["my_reaction"] for entry in (await feed(api))["matches"])


async def test_signed_out_is_no_token_but_a_wrong_one_is_refused(api: Api) -> None:
    answer = await api.client.get("/api/matches/top", headers={"Authorization": "Bearer no"})
    assert answer.status_code == 401


async def test_feed_refuses_what_is_out_of_bounds(api: Api) -> None:
    unprocessable: list[dict[str, Any]] = [
        {"limit": 0}, {"limit": 101}, {"skip": -1}, {"skip": 10**20}, {"filter": "best"},
        {"cursor": "x" * 201},
    ]  # fmt: skip
    for query in unprocessable:
        assert (await get(api, "top", **query)).status_code == 422, query
    for cursor in ("", "x", "é", "MjAyNnx4"):
        assert (await get(api, "top", cursor=cursor)).status_code == 400, cursor


async def test_total_is_exact_while_many_write_at_once(api: Api) -> None:
    database = api.services.database
    faces = [await add_face(database, await add_profile(database)) for _ in range(16)]

    async def write(number: int) -> None:
        for other in faces[number + 1 :]:
            await add_match(database, faces[number], other)
        if number % 3 == 0:
            await database.execute("DELETE FROM faces WHERE id = $1", faces[number])

    await asyncio.gather(*(write(number) for number in range(15)), return_exceptions=True)
    counted = await database.fetchval("SELECT count(*) FROM matches")
    assert counted > 0
    assert (await feed(api, limit=1))["total"] == counted
    await api.owner.execute("DELETE FROM matches")
    assert (await feed(api))["total"] == 0
    await add_match(database, faces[1], faces[2])
    await api.owner.execute("TRUNCATE matches CASCADE")
    assert (await feed(api))["total"] == 0
    await add_match(database, faces[1], faces[2])
    assert (await feed(api))["total"] == 1


async def test_stats(api: Api) -> None:
    ids = await aged(api, 3)
    database = api.owner
    user = await api.member("Ada")
    # Not when the tests began: they may take longer than somebody counts as active.
    now = datetime.now(UTC)
    await add_profile(database, last_seen=now - timedelta(minutes=1))
    await add_profile(database, last_seen=now - timedelta(minutes=16))
    await add_profile(database, last_seen=now - timedelta(days=1), online=True)
    await api.client.post(f"/api/matches/{ids[0]}/view", headers=user.headers)
    assert (await get(api, "top/stats")).json() == {"total": 3, "viewed": None, "activeUsers": 2}
    assert (await get(api, "top/stats", user)).json() == {"total": 3, "viewed": 1, "activeUsers": 2}


async def test_matches_of_a_face_are_one_per_other_user_best_first(api: Api) -> None:
    database = api.services.database
    user = await api.member("Ada")
    face = await add_face(database, user.id)
    expected = []
    for score in (0.6, 0.9, 0.7):
        other = await add_profile(database, f"Other {score}")
        best = await add_match(database, face, await add_face(database, other), score=score)
        await add_match(database, face, await add_face(database, other), score=score - 0.05)
        expected.append((score, str(best)))
    await add_pair(database)
    expected.sort(reverse=True)
    answer = await get(api, "for-image", user, face_id=face)
    assert answer.status_code == 200, answer.text
    entries = answer.json()["matches"]
    assert [(entry["similarity_score"], entry["id"]) for entry in entries] == expected
    assert answer.json()["total"] == 3
    assert entries[0]["user"]["name"] == "Other 0.9"
    assert entries[0]["user"] in entries[0]["users"].values()
    assert tuple(entries[0]["factors"].values()) == FACTORS

    first = (await get(api, "for-image", user, face_id=face, limit=2)).json()
    rest = (await get(api, "for-image", user, face_id=face, cursor=first["next_cursor"])).json()
    assert [entry["id"] for entry in first["matches"] + rest["matches"]] == [item for _, item in expected]
    skipped = (await get(api, "for-image", user, face_id=face, skip=2)).json()
    assert [entry["id"] for entry in skipped["matches"]] == [expected[2][1]]


@pytest.mark.parametrize("path", ["for-image", "celebrity"])
async def test_faces_must_belong_to_the_user(api: Api, path: str) -> None:
    user = await api.member("Ada")
    theirs = await add_face(api.services.database, await add_profile(api.services.database))
    assert (await get(api, path, user, face_id=theirs)).status_code == 403
    assert (await get(api, path, user, face_id=uuid4())).status_code == 404
    assert (await get(api, path, user)).status_code == 422
    assert (await get(api, path, face_id=theirs)).status_code == 401
    assert (await get(api, path, user, face_id="x")).status_code == 422


async def test_matches_of_a_user(api: Api) -> None:
    database = api.services.database
    user, admin, other = (
        await api.member("Ada"),
        await api.member("Root", role="admin"),
        await api.member("Eve"),
    )
    pair = await add_pair(database, user.id)
    second = await add_match(
        database, await add_face(database, user.id), pair.face_b, factors=None, created_at=NOW
    )
    await add_pair(database)
    for reader in (user, admin):
        answer = await get(api, f"user/{user.id}", reader)
        assert answer.status_code == 200, answer.text
        entries = answer.json()["matches"]
        assert {entry["id"] for entry in entries} == {str(pair.match), str(second)}
        assert {entry["user"]["id"] for entry in entries} == {str(pair.b)}
        assert answer.json()["total"] == 2
        assert next(entry["factors"] for entry in entries if entry["id"] == str(second)) is None
    assert (await get(api, f"user/{user.id}", other)).status_code == 403
    assert (await get(api, f"user/{user.id}")).status_code == 401
    first = (await get(api, f"user/{user.id}", user, limit=1)).json()
    rest = (await get(api, f"user/{user.id}", user, cursor=first["next_cursor"])).json()
    assert [entry["id"] for entry in first["matches"] + rest["matches"]] == [e["id"] for e in entries]


async def test_celebrity_matches(api: Api) -> None:
    database = api.services.database
    user = await api.member("Ada")
    face = await add_face(database, user.id)
    for name, score in (("Second", 0.7), ("First", 0.8), ("Third", 0.6)):
        await add_celebrity_match(database, face, name, score)
    answer = await get(api, "celebrity", user, face_id=face)
    assert answer.status_code == 200, answer.text
    entries = answer.json()["matches"]
    assert [entry["celebrity"]["name"] for entry in entries] == ["First", "Second", "Third"]
    assert entries[0].keys() == {
        "id", "celebrity", "similarity_score", "similarity_percentage", "factors", "rarity",
    }  # fmt: skip
    assert entries[0]["celebrity"].keys() == {
        "id", "name", "bio", "category", "gender", "image", "feed_url", "thumbnail_url",
    }  # fmt: skip
    assert entries[0]["similarity_percentage"] == 80
    assert entries[0]["celebrity"]["image"].startswith("http://api/objects/celebrities/x.jpg?")
    by_path = (await get(api, f"celebrity/{face}", user)).json()["matches"]
    assert [entry["id"] for entry in by_path] == [entry["id"] for entry in entries]
    first = (await get(api, "celebrity", user, face_id=face, limit=2)).json()
    rest = (await get(api, "celebrity", user, face_id=face, cursor=first["next_cursor"])).json()
    assert [entry["id"] for entry in first["matches"] + rest["matches"]] == [e["id"] for e in entries]
    assert (first["total"], rest["next_cursor"]) == (3, None)
    for place in ("nan", "inf", "x", ""):
        cursor = base64.urlsafe_b64encode(f"{place}|{uuid4()}".encode()).decode()
        assert (await get(api, "celebrity", user, face_id=face, cursor=cursor)).status_code == 400, place
