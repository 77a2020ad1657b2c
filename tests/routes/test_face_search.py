"""`POST /search/faces`: who may search, what the answer shows, and that it is recorded."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from db.api_keys import ApiKeys
from semblance.errors import BusyClientError
from semblance.settings import Settings
from serve_app.limits import Client
from tests.support.api import API_KEY, Api, User
from tests.support.photos import ASTRONAUT, GROUP, NO_FACE, altered

PHOTO = ASTRONAUT.read_bytes()


@pytest.fixture
def api_settings(api_settings: Settings) -> Settings:
    """With the search allowed."""
    return api_settings.model_copy(update={"face_search": True})


async def search(
    api: Api, headers: dict[str, str], photo: bytes = PHOTO, expect: int = 200, **params: Any
) -> Any:
    answer = await api.client.post(
        "/search/faces", files={"file": ("x.jpg", photo)}, headers=headers, params=params
    )
    assert answer.status_code == expect, answer.text
    return answer.json()


async def search_key(api: Api) -> tuple[UUID, dict[str, str]]:
    key, stored = await ApiKeys(api.owner).create("security desk", ["search"])
    return stored.id, {"Authorization": f"Bearer {key}"}


async def upload(api: Api, user: User, photo: bytes = PHOTO) -> str:
    answer = await api.client.post("/api/faces", files={"file": ("x.jpg", photo)}, headers=user.headers)
    assert answer.status_code == 202, answer.text
    found: str = answer.json()["id"]
    return found


async def records(api: Api) -> list[dict[str, Any]]:
    return [dict(row) for row in await api.owner.fetch("SELECT * FROM face_searches ORDER BY created_at")]


async def test_admins_and_keys_made_for_it_find_users(api: Api) -> None:
    eileen = await api.member("Eileen", school="nasa")
    others = await api.member("Others", school="mit", gender="male")
    face = await upload(api, eileen)
    await upload(api, others, GROUP.read_bytes())
    admin = await api.member("Root", role="admin")
    key_id, key = await search_key(api)
    for headers in (admin.headers, key):
        answer = await search(api, headers, altered(ASTRONAUT))
        assert answer["face"]["face_detected"]
        best, other = answer["matches"]
        assert (best["face_id"], best["profile_id"]) == (face, str(eileen.id))
        assert (best["name"], best["school"], best["gender"]) == ("Eileen", "nasa", "female")
        assert 1 >= best["similarity"] > 0.8 > other["similarity"]
        for link in ("image_url", "feed_url", "thumbnail_url"):
            assert (await api.client.get(best[link])).status_code == 200
    by_admin, by_key = await records(api)
    assert (by_admin["profile_id"], by_admin["api_key_id"]) == (admin.id, None)
    assert (by_key["profile_id"], by_key["api_key_id"]) == (None, key_id)


async def test_filters_and_what_is_recorded_of_them(api: Api) -> None:
    for name, school, gender in (("A", "mit", "female"), ("B", "mit", "male"), ("C", "yale", "female")):
        await upload(api, await api.member(name, school=school, gender=gender))
    _, key = await search_key(api)
    asked: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"A", "B", "C"}),
        ({"school": "mit"}, {"A", "B"}),
        ({"gender": "female"}, {"A", "C"}),
        ({"school": "mit", "gender": "female"}, {"A"}),
        ({"school": "nobody's"}, set()),
        ({"gender": "other"}, set()),
    ]
    for filters, expected in asked:
        answer = await search(api, {**key, "X-Request-ID": "desk-7"}, **filters)
        assert {match["name"] for match in answer["matches"]} == expected
    assert len((await search(api, key, limit=1))["matches"]) == 1
    kept = await records(api)
    assert [(row["school"], row["gender"], row["results"]) for row in kept[:-1]] == [
        (filters.get("school"), filters.get("gender"), len(expected)) for filters, expected in asked
    ]
    assert (kept[-1]["max_results"], kept[-1]["results"]) == (1, 1)
    assert {row["request_id"] for row in kept[:-1]} == {"desk-7"}
    # Nothing of the photo.
    assert kept[0].keys() == {
        *("id", "created_at", "profile_id", "api_key_id", "console_session_id", "school", "gender"),
        *("max_results", "results", "request_id"),
    }


async def test_nobody_else_searches(api: Api) -> None:
    user = await api.member("Eve")
    compute, _ = await ApiKeys(api.owner).create("booth", ["compute"])
    assert (await search(api, user.headers, expect=403))["code"] == "forbidden"
    revoked_id, revoked = await search_key(api)
    await ApiKeys(api.owner).revoke(revoked_id)
    for headers in (
        revoked,
        *({"Authorization": f"Bearer {token}"} for token in (compute, API_KEY, "x", "a.b.c")),
    ):
        assert (await search(api, headers, expect=401))["code"] == "unauthorized"
    await search(api, {}, expect=401)
    _, key = await search_key(api)
    answer = await api.client.post("/lookalikes", files={"file": ("x.jpg", PHOTO)}, headers=key)
    assert answer.status_code == 401
    assert await records(api) == []


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"gender": "robot"}, {"school": "x" * 101}])
async def test_a_query_out_of_bounds(api: Api, query: dict[str, Any]) -> None:
    _, key = await search_key(api)
    await search(api, key, expect=422, **query)


async def test_a_photo_without_a_face_is_not_a_search(api: Api) -> None:
    _, key = await search_key(api)
    assert (await search(api, key, NO_FACE.read_bytes(), expect=400))["code"] == "no_face"
    assert await records(api) == []


async def test_text_that_the_database_cannot_store_is_refused(api: Api) -> None:
    _, key = await search_key(api)
    assert "zero bytes" in (await search(api, key, expect=422, school="a\0b"))["error"]
    answer = await api.client.post(
        "/lookalikes",
        files={"file": ("x.jpg", PHOTO)},
        headers={"Authorization": f"Bearer {API_KEY}"},
        params={"category": "a\0b"},
    )
    assert answer.status_code == 422


async def test_a_client_has_no_more_than_its_share(api: Api) -> None:
    admin = await api.member("Root", role="admin")
    _, key = await search_key(api)
    slots = api.app.state.limits.slots
    token = key["Authorization"].removeprefix("Bearer ")
    for headers, client in ((admin.headers, Client("user", str(admin.id))), (key, Client("key", token))):
        held = 0
        with suppress(BusyClientError):
            while True:
                slots.take(client)
                held += 1
        await search(api, headers, expect=429)
        slots.give_back(client, held)
        await search(api, headers)


class TestOff:
    """With the default settings."""

    @pytest.fixture
    def api_settings(self, api_settings: Settings) -> Settings:
        return api_settings.model_copy(update={"face_search": False})

    async def test_nobody_searches_unless_it_is_allowed(self, api: Api) -> None:
        assert Settings().face_search is False
        admin = await api.member("Root", role="admin")
        _, key = await search_key(api)
        for headers in (admin.headers, key):
            refused = await search(api, headers, expect=403)
            assert "SEMBLANCE_FACE_SEARCH" in refused["error"]
        assert await records(api) == []
