from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.support.api import Api, User
from tests.support.rows_feed import add_pair


async def react(api: Api, match_id: UUID, user: User, reaction: Any) -> httpx.Response:
    return await api.client.post(
        f"/api/matches/{match_id}/react", json={"reaction_type": reaction}, headers=user.headers
    )


async def reactions(api: Api, match_id: UUID, user: User) -> dict[str, Any]:
    answer = await api.client.get(f"/api/matches/{match_id}/react", headers=user.headers)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_reactions_come_and_go(api: Api) -> None:
    ada, bob = await api.member("Ada"), await api.member("Bob")
    match_id = (await add_pair(api.services.database, ada.id, bob.id)).match
    assert await reactions(api, match_id, ada) == {"reactions": [], "reaction_types": []}
    liked = await react(api, match_id, ada, "like")
    assert liked.status_code == 201, liked.text
    assert liked.json().keys() == {"id", "match_id", "reaction_type", "created_at", "mutual_connection"}
    assert (liked.json()["reaction_type"], liked.json()["mutual_connection"]) == ("like", None)
    assert (await react(api, match_id, ada, "viewed")).status_code == 201
    for again in ("like", "viewed"):
        answer = await react(api, match_id, ada, again)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    found = await reactions(api, match_id, ada)
    assert found["reaction_types"] == ["like", "viewed"]
    assert found["reactions"][0]["id"] == liked.json()["id"]
    assert await reactions(api, match_id, bob) == {"reactions": [], "reaction_types": []}

    path = f"/api/matches/{match_id}/react"
    one = await api.client.delete(path, params={"reaction_type": "viewed"}, headers=ada.headers)
    assert one.status_code == 204
    assert (await reactions(api, match_id, ada))["reaction_types"] == ["like"]
    await react(api, match_id, ada, "viewed")
    await react(api, match_id, bob, "viewed")
    for _ in range(2):
        assert (await api.client.delete(path, headers=ada.headers)).status_code == 204
    assert (await reactions(api, match_id, ada))["reaction_types"] == []
    assert (await reactions(api, match_id, bob))["reaction_types"] == ["viewed"]


async def test_a_like_of_both_answers_with_the_connection(api: Api) -> None:
    ada, bob = await api.member("Ada"), await api.member("Bob")
    match_id = (await add_pair(api.services.database, ada.id, bob.id)).match
    await react(api, match_id, ada, "like")
    opened = (await react(api, match_id, bob, "like")).json()["mutual_connection"]
    answer = await api.client.get(f"/api/connections/{opened}", headers=ada.headers)
    assert answer.json()["other_user"]["name"] == "Bob"
    # It stays when a like is taken back, and another like opens no second one.
    await api.client.delete(f"/api/matches/{match_id}/react", headers=bob.headers)
    assert (await react(api, match_id, bob, "like")).json()["mutual_connection"] is None


async def test_others_matches_can_be_viewed_and_not_liked(api: Api) -> None:
    eve = await api.member("Eve")
    match_id = (await add_pair(api.services.database)).match
    assert (await react(api, match_id, eve, "like")).status_code == 403
    assert (await react(api, match_id, eve, "viewed")).status_code == 201
    assert (await reactions(api, match_id, eve))["reaction_types"] == ["viewed"]


async def test_view_is_idempotent(api: Api) -> None:
    user = await api.member("Ada")
    match_id = (await add_pair(api.services.database)).match
    path = f"/api/matches/{match_id}/view"
    answers = await asyncio.gather(*(api.client.post(path, headers=user.headers) for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert answers[0].json()["reaction_types"] == ["viewed"]


async def test_what_is_refused(api: Api) -> None:
    user = await api.member("Ada")
    match_id = (await add_pair(api.services.database, user.id)).match
    path = f"/api/matches/{match_id}"
    for reaction in ("love", None, 1, "like\x00"):
        assert (await react(api, match_id, user, reaction)).status_code == 422
    for reaction in ("like", "viewed"):
        assert (await react(api, uuid4(), user, reaction)).status_code == 404
    unknown = f"/api/matches/{uuid4()}"
    assert (await api.client.get(f"{unknown}/react", headers=user.headers)).status_code == 404
    assert (await api.client.delete(f"{unknown}/react", headers=user.headers)).status_code == 404
    assert (await api.client.post(f"{unknown}/view", headers=user.headers)).status_code == 404
    assert (await api.client.get("/api/matches/x/react", headers=user.headers)).status_code == 422
    wrong = await api.client.delete(f"{path}/react", params={"reaction_type": "love"}, headers=user.headers)
    assert wrong.status_code == 422
    for method, action in (("GET", "react"), ("POST", "react"), ("DELETE", "react"), ("POST", "view")):
        answer = await api.client.request(method, f"{path}/{action}")
        assert answer.status_code in {401, 422}, (method, action)
    signed_out = await api.client.post(f"{path}/react", json={"reaction_type": "like"})
    assert signed_out.status_code == 401
