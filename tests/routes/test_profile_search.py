"""People of the same school, found by what they say about themselves."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from semblance.errors import TextProviderBusyError
from serve_app.limits import SEARCHES_PER_MINUTE, Rate
from tests.support.api import Api, User
from tests.support.rows_chat import connect

BIOS = {
    "Vera": "I play the violin in the university orchestra.",
    "Max": "Marine biology. I dive with whales whenever I can!",
    "Kim": "Chess, Go and other board games",
    "Zoë": "Ich klettere gern, am liebsten in den Alpen 🏔️",
}


@pytest.fixture
async def seeker(api: Api) -> User:
    await api.owner.execute("UPDATE system_settings SET value = 'true' WHERE key = 'profile_search'")
    return await api.member("Ada")


async def say(api: Api, user: User, bio: str | None) -> httpx.Response:
    return await api.client.patch("/api/auth/me", json={"bio": bio}, headers=user.headers)


async def settle(api: Api) -> None:
    """Until all bios have their vectors."""
    await api.services.writer.process(1000)


async def everybody(api: Api, school: str = "mit") -> dict[str, User]:
    people = {name: await api.member(name, school=school) for name in BIOS}
    for name, user in people.items():
        assert (await say(api, user, BIOS[name])).status_code == 200
    await settle(api)
    return people


async def search(api: Api, user: User, q: str, **more: Any) -> httpx.Response:
    return await api.client.get("/api/search/profiles", params={"q": q, **more}, headers=user.headers)


async def found(api: Api, user: User, q: str, **more: Any) -> list[str]:
    answer = await search(api, user, q, **more)
    assert answer.status_code == 200, answer.text
    return [person["name"] for person in answer.json()["people"]]


async def test_people_are_found_by_what_they_mean(api: Api, seeker: User) -> None:
    people = await everybody(api)
    # None of the words is in a bio.
    assert (await found(api, seeker, "somebody to make music with"))[0] == "Vera"
    assert (await found(api, seeker, "ocean animals"))[0] == "Max"
    answer = (await search(api, seeker, "strategy game", limit=1)).json()
    assert answer["by_meaning"] is True
    [kim] = answer["people"]
    assert kim == {
        "id": str(people["Kim"].id),
        "name": "Kim",
        "bio": BIOS["Kim"],
        "image": None,
        "thumbnail_url": None,
    }


async def test_rare_words_are_found_that_no_model_knows(api: Api, seeker: User) -> None:
    await everybody(api)
    assert (await found(api, seeker, "klettere Alpen"))[0] == "Zoë"
    # As in any search: a word that must not be there, and words that follow each other.
    assert (await found(api, seeker, '"board games"'))[0] == "Kim"


async def test_only_those_of_the_school_are_found_who_have_written_something(api: Api, seeker: User) -> None:
    await api.member("Silent")
    stranger = await api.member("Stranger", school="eth")
    await say(api, stranger, "I play the violin, too.")
    own = await say(api, seeker, "The violin is my life.")
    assert own.json()["bio"] == "The violin is my life."
    people = await everybody(api)
    assert sorted(await found(api, seeker, "violin")) == sorted(BIOS)
    assert await found(api, stranger, "violin") == []
    await say(api, people["Vera"], None)
    assert "Vera" not in await found(api, seeker, "violin")
    await api.owner.execute("UPDATE profiles SET school = NULL WHERE id = $1", seeker.id)
    assert await found(api, seeker, "violin") == []


async def test_nobody_is_found_whom_operators_or_one_of_the_two_has_blocked(api: Api, seeker: User) -> None:
    people = await everybody(api)
    connection = await connect(api.owner, seeker.id, people["Vera"].id)
    assert "Vera" in await found(api, seeker, "violin")
    await api.owner.execute("UPDATE mutual_connections SET status = 'blocked' WHERE id = $1", connection)
    assert "Vera" not in await found(api, seeker, "violin")
    assert "Ada" not in await found(api, people["Vera"], "anybody")
    await api.owner.fetchval("SELECT change_block($1, true)", people["Max"].id)
    assert sorted(await found(api, seeker, "violin")) == ["Kim", "Zoë"]


async def test_a_new_bio_replaces_the_old_one_at_once(api: Api, seeker: User) -> None:
    people = await everybody(api)
    await say(api, people["Vera"], "I bake bread.")
    # By words until the vector is made.
    assert (await found(api, seeker, "bread"))[0] == "Vera"
    assert await api.owner.fetchval("SELECT count(*) FROM text_embeddings") == len(BIOS) - 1
    assert (await found(api, seeker, "violin"))[0] != "Vera"
    await settle(api)
    assert (await found(api, seeker, "pastry"))[0] == "Vera"


async def test_the_search_is_off_until_an_admin_switches_it_on(api: Api) -> None:
    ada, vera = await api.member("Ada"), await api.member("Vera")
    await say(api, vera, BIOS["Vera"])
    refused = await search(api, ada, "violin")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    await settle(api)
    assert await api.owner.fetchval("SELECT count(*) FROM inference_queue") == 0
    admin = await api.member("Root", role="admin")
    changed = await api.client.patch(
        "/api/admin/settings", json={"profile_search": True}, headers=admin.headers
    )
    assert changed.json()["profile_search"] is True
    # What was written before is found as well.
    await settle(api)
    assert (await search(api, ada, "musician")).json()["people"][0]["name"] == "Vera"


async def test_words_are_enough_while_no_vector_can_be_made(
    api: Api, seeker: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    await everybody(api)

    async def broken(_: str) -> Any:
        raise TextProviderBusyError("down")

    monkeypatch.setattr(api.services.writer, "vector", broken, raising=True)
    answer = (await search(api, seeker, "violins")).json()
    assert answer["by_meaning"] is False
    assert [person["name"] for person in answer["people"]] == ["Vera"]


@pytest.mark.parametrize(
    "q",
    [
        "' OR 1=1; DROP TABLE profiles; --",
        '"unbalanced',
        "-" * 200,
        "- " * 100,
        "((( & | ! <-> :*",
        "-",
        "the of and",
        "\U0001d4b1\U0001d4be مرحبا 你好 🎻",
        "\u202e\ufeff\x01",
        "violin " * 28,
        "%_\\",
    ],
)
async def test_whatever_is_asked_is_data(api: Api, seeker: User, q: str) -> None:
    await everybody(api)
    assert sorted(await found(api, seeker, q)) == sorted(BIOS)


@pytest.mark.parametrize("params", [{}, {"q": ""}, {"q": " \t"}, {"q": "a\x00b"}, {"q": "a" * 201}])
async def test_queries_that_ask_nothing_or_too_much_are_refused(
    api: Api, seeker: User, params: dict[str, str]
) -> None:
    answer = await api.client.get("/api/search/profiles", params=params, headers=seeker.headers)
    assert answer.status_code == 422
    answer = await search(api, seeker, "a", limit=51)
    assert answer.status_code == 422
    assert (await api.client.get("/api/search/profiles", params={"q": "a"})).status_code == 401


async def test_nobody_searches_more_than_a_person_types(api: Api, seeker: User) -> None:
    other, now = await api.member("Bob"), 0.0
    api.app.state.limits.searches = Rate(SEARCHES_PER_MINUTE, what="Too many searches", clock=lambda: now)
    for _ in range(SEARCHES_PER_MINUTE):
        assert await found(api, seeker, "violin") == []
    now = 12.5
    refused = await search(api, seeker, "violin")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"] == "48"
    assert await found(api, other, "violin") == []
    now = 60.0
    assert await found(api, seeker, "violin") == []


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("  a   b\r\n\r\n\r\n\r\nc\t d ", "a b\n\nc d"),
        ("e\u0301", "é"),
        ("x" * 500, "x" * 500),
    ],
)
async def test_a_bio_is_tidied(api: Api, said: str, stored: str) -> None:
    ada = await api.member("Ada")
    assert (await say(api, ada, said)).json()["bio"] == stored
    assert (await api.client.get("/api/auth/me", headers=ada.headers)).json()["bio"] == stored
    assert (await say(api, ada, None)).json()["bio"] is None


@pytest.mark.parametrize("said", ["", " \n ", "x" * 501, "a\x00b", "a\u202eb", "\u2800", 7])
async def test_a_bio_that_cannot_be_shown_is_refused(api: Api, said: Any) -> None:
    ada = await api.member("Ada")
    assert (await say(api, ada, said)).status_code == 422
