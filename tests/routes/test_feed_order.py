"""The user's likes in the live feed, and the feed in the order of the scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.api import Api, User
from tests.support.rows_feed import add_face, add_match, add_pair, add_profile

SCORES = (0.6, 0.9, 0.75, 0.75, 0.5, 0.75, 1.0)


async def get(api: Api, user: User | None = None, **query: Any) -> httpx.Response:
    headers = None if user is None else user.headers
    return await api.client.get("/api/matches/top", params=query, headers=headers)


async def feed(api: Api, user: User | None = None, **query: Any) -> dict[str, Any]:
    answer = await get(api, user, **query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def scored(api: Api, user: User, *, minutes: int = 60) -> list[tuple[float, str]]:
    """Matches of a user, best first and by id where scores are the same; older than the last minutes."""
    database = api.services.database
    face = await add_face(database, user.id)
    found = []
    for number, score in enumerate(SCORES):
        other = await add_face(database, await add_profile(database))
        created_at = datetime.now(UTC) - timedelta(minutes=minutes, seconds=number)
        match = await add_match(database, face, other, score=score, created_at=created_at)
        found.append((score, str(match)))
    return sorted(found, reverse=True)


async def like(api: Api, user: User, match: str) -> None:
    answer = await api.client.post(
        f"/api/matches/{match}/react", json={"reaction_type": "like"}, headers=user.headers
    )
    assert answer.status_code == 201, answer.text


def ids(body: dict[str, Any]) -> list[str]:
    return [entry["id"] for entry in body["matches"]]


async def test_liked_is_what_the_caller_likes(api: Api) -> None:
    user, other = await api.member("Ada"), await api.member("Bob")
    matches = [match for _, match in await scored(api, user)]
    for match in matches[1:4]:
        await like(api, user, match)
    await api.client.post(f"/api/matches/{matches[0]}/view", headers=user.headers)
    body = await feed(api, user, filter="liked")
    newest = [match for match in ids(await feed(api, user)) if match in matches[1:4]]
    assert (ids(body), body["total"]) == (newest, 3)
    assert {tuple(entry["my_reaction"]) for entry in body["matches"]} == {("like",)}
    assert ids(await feed(api, user, filter="liked", sort="best")) == matches[1:4]
    assert (await feed(api, other, filter="liked"))["total"] == 0
    answer = await get(api, filter="liked")
    assert (answer.status_code, answer.json()["error"]) == (401, "Sign in to see what you have liked.")


@pytest.mark.parametrize("shown", ["all", "new", "viewed", "liked"])
async def test_best_first_in_stable_pages(api: Api, shown: str) -> None:
    """While others are added above and below what is read, none is skipped and none comes twice."""
    user = await api.member("Ada")
    expected = [match for _, match in await scored(api, user, minutes=0 if shown == "new" else 60)]
    for match in expected:
        await api.client.post(f"/api/matches/{match}/view", headers=user.headers)
        await like(api, user, match)
    seen: list[str] = []
    query: dict[str, Any] = {}
    while True:
        page = await feed(api, user, sort="best", filter=shown, limit=2, **query)
        seen += ids(page)
        assert page["total"] >= len(expected)
        if page["next_cursor"] is None:
            break
        query = {"cursor": page["next_cursor"]}
        await add_pair(api.services.database, score=0.99)
    assert seen == expected
    skipped = await feed(api, user, sort="best", filter=shown, skip=len(expected) - 1)
    assert skipped["matches"] != []


async def test_best_of_new_are_of_the_last_five_minutes(api: Api) -> None:
    user = await api.member("Ada")
    await scored(api, user)
    assert await feed(api, sort="best", filter="new") == {"matches": [], "total": 0, "next_cursor": None}
    pair = await add_pair(api.services.database, score=0.5)
    assert ids(await feed(api, sort="best", filter="new")) == [str(pair.match)]


async def test_a_cursor_is_of_one_order(api: Api) -> None:
    user = await api.member("Ada")
    await scored(api, user)
    for one, other in (("best", "newest"), ("newest", "best")):
        cursor = (await feed(api, sort=one, limit=1))["next_cursor"]
        answer = await get(api, sort=other, cursor=cursor)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")
    assert (await get(api, sort="worst")).status_code == 422


async def test_the_order_is_the_newest_unless_asked(api: Api) -> None:
    user = await api.member("Ada")
    await scored(api, user)
    body = await feed(api)
    assert body == await feed(api, sort="newest")
    times = [entry["created_at"] for entry in body["matches"]]
    assert times == sorted(times, reverse=True)
