from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.api import Api, User
from tests.support.waiting import PATIENCE_S

STANFORD = {"name": "Stanford University", "domains": ["Stanford.edu "], "aliases": [" Stanford", "LSJU"]}


@pytest.fixture
async def root(api: Api) -> User:
    return await api.member("Root", role="admin", school="admins")


async def call(
    api: Api, method: str, path: str, user: User | None, body: Any = None, **query: Any
) -> httpx.Response:
    headers = {} if user is None else user.headers
    return await api.client.request(
        method, f"/api/admin/schools{path}", json=body, params=query, headers=headers
    )


async def test_a_school_from_its_beginning_to_its_end(api: Api, root: User) -> None:
    await api.member("Ada", school="LSJU")
    await api.member("Bob", school="stanford", gender="male")
    await api.member("Eve", school="Yale")
    answer = await call(api, "POST", "", root, STANFORD)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["users_rematched"] == 2
    assert made["school"]["name"] == "Stanford University"
    assert (made["school"]["domains"], made["school"]["aliases"]) == (["stanford.edu"], ["Stanford", "LSJU"])
    assert made["school"]["users"] == 2
    path = f"/{made['school']['id']}"

    changed = await call(api, "PATCH", path, root, {"aliases": ["Stanford"], "name": None})
    assert (changed.status_code, changed.json()["users_rematched"]) == (200, 1)
    assert changed.json()["school"]["name"] == "Stanford University"
    listed = (await call(api, "GET", "", root)).json()
    assert listed == {"schools": [changed.json()["school"]], "total": 1, "next_cursor": None}

    assert (await call(api, "DELETE", path, root)).json() == {"users_rematched": 1}
    for method in ("PATCH", "DELETE"):
        assert (await call(api, method, path, root, {"name": "X"})).status_code == 404
    assert (await call(api, "GET", "", root)).json()["schools"] == []


async def test_a_name_of_another_school_is_a_conflict_that_says_so(api: Api, root: User) -> None:
    stanford = (await call(api, "POST", "", root, STANFORD)).json()["school"]
    other = (await call(api, "POST", "", root, {"name": "Other"})).json()["school"]
    for answer in (
        await call(api, "POST", "", root, {"name": "lsju"}),
        await call(api, "PATCH", f"/{other['id']}", root, {"domains": ["stanford.edu"]}),
    ):
        body = answer.json()
        assert (answer.status_code, body["code"], body["school_id"]) == (409, "school_taken", stanford["id"])
        assert "Stanford University" in body["error"]


@pytest.mark.parametrize(
    "body",
    [
        *({"name": name} for name in ("", None, "a\nb", "x" * 101)),
        *(
            {"name": "X", "domains": [domain]}
            for domain in ("edu", "ac.uk", "a@x.edu", "x..edu", "", "é.ch", 7)
        ),
        *(
            {},
            {"name": "X", "domains": ["x.edu"] * 101},
            {"name": "X", "aliases": [""]},
            {"name": "X", "id": 1},
        ),
    ],
)
async def test_an_invalid_school_is_refused(api: Api, root: User, body: Any) -> None:
    assert (await call(api, "POST", "", root, body)).status_code == 422
    assert (await call(api, "GET", "", root)).json()["total"] == 0


async def test_pages_by_name(api: Api, root: User) -> None:
    names = ["a|b", "b", "École", "z"]
    for name in reversed(names):
        await call(api, "POST", "", root, {"name": name})
    first = (await call(api, "GET", "", root, limit=3)).json()
    rest = (await call(api, "GET", "", root, limit=3, cursor=first["next_cursor"])).json()
    seen = [school["name"] for school in first["schools"] + rest["schools"]]
    assert (sorted(seen), len(first["schools"]), rest["next_cursor"]) == (sorted(names), 3, None)
    for cursor in ("", "x", "fA", "AHwwMDAwMDAwMC0wMDAwLTAwMDAtMDAwMC0wMDAwMDAwMDAwMDA"):
        assert (await call(api, "GET", "", root, cursor=cursor)).status_code == 400


async def test_unknown_schools_are_listed(api: Api, root: User) -> None:
    for name, school in (("Ada", "MIT"), ("Bob", "MIT"), ("Eve", "mit"), ("Dan", "Stanford")):
        await api.member(name, school=school)
    await call(api, "POST", "", root, STANFORD)
    found = (await call(api, "GET", "/unknown", root)).json()["schools"]
    assert found[0] == {"name": "MIT", "users": 2}
    assert {school["name"] for school in found} == {"MIT", "mit", "admins"}
    assert len((await call(api, "GET", "/unknown", root, limit=1)).json()["schools"]) == 1


async def test_only_admins(api: Api) -> None:
    ada = await api.member("Ada")
    for method, path in (
        ("GET", ""),
        ("GET", "/unknown"),
        ("POST", ""),
        ("PATCH", f"/{uuid4()}"),
        ("DELETE", f"/{uuid4()}"),
    ):
        assert (await call(api, method, path, ada, {"name": "X"})).status_code == 403
        assert (await call(api, method, path, None, {"name": "X"})).status_code == 401


async def test_addresses_of_a_school_may_sign_up_and_belong_to_it(api: Api, root: User) -> None:
    newcomer = api.user("ada@student.ethz.ch")
    before = await api.client.get("/api/auth/me", headers=newcomer.headers)
    assert (before.status_code, before.json()["code"]) == (403, "email_not_allowed")
    await call(api, "POST", "", root, {"name": "ETH Zürich", "domains": ["ethz.ch"]})
    after = await api.client.get("/api/auth/me", headers=newcomer.headers)
    assert (after.status_code, after.json()["school"]) == (200, "ethz.ch")
    await api.client.patch("/api/auth/me", json={"school": "Yale"}, headers=newcomer.headers)
    own = await api.client.patch("/api/auth/me", json={"school": None}, headers=newcomer.headers)
    assert own.json()["school"] == "ethz.ch"
    oxford = await api.client.get("/api/auth/me", headers=api.user("bob@cs.ox.ac.uk").headers)
    assert oxford.json()["school"] == "ox.ac.uk"


async def test_nobody_who_reads_waits_for_a_change_of_schools(api: Api) -> None:
    """Not even a user without a school, who might have got one."""
    await api.services.database.execute(
        "UPDATE system_settings SET value = 'true' WHERE key = 'allow_non_edu_emails'"
    )
    ada = api.user("ada@gmail.com")
    assert (await api.client.get("/api/auth/me", headers=ada.headers)).json()["school"] is None
    async with api.owner.transaction() as connection:
        await connection.execute("INSERT INTO schools (name) VALUES ('MIT')")
        async with asyncio.timeout(PATIENCE_S):
            assert (await api.client.get("/api/auth/me", headers=ada.headers)).status_code == 200
            assert (await api.client.get("/api/matches/top", headers=ada.headers)).status_code == 200
