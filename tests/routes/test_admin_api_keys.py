"""API keys made and revoked by operators."""

from __future__ import annotations

import uuid

import httpx
import pytest

from tests.support.api import Api
from tests.support.console import sign_in

KEYS = "/api/admin/api-keys"
VECTORS = {"embedding_a": [1.0, 0.0], "embedding_b": [1.0, 0.0]}


async def compare(api: Api, key: str) -> int:
    answer = await api.client.post("/compare-faces", json=VECTORS, headers={"Authorization": f"Bearer {key}"})
    return answer.status_code


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(api: Api) -> None:
    user = await sign_in(api)
    made = await user.call("POST", KEYS, json={"name": " Booth ", "scopes": ["search", "compute"]})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key, stored = made.json()["key"], made.json()["stored"]
    assert (stored["name"], stored["scopes"], stored["last_used_at"]) == (
        "Booth",
        ["compute", "search"],
        None,
    )
    assert await compare(api, key) == 200

    listed = await user.call("GET", KEYS)
    assert key not in listed.text
    [entry] = listed.json()["keys"]
    assert key.startswith(entry["prefix"])
    assert entry["last_used_at"] is not None
    # The clock is set back: a use in the future is not the last one.
    await api.owner.execute("UPDATE api_keys SET last_used_at = now() + interval '30 days'")
    assert await compare(api, key) == 200
    assert await api.owner.fetchval(
        "SELECT last_used_at <= now() FROM api_keys WHERE last_used_at IS NOT NULL"
    )

    revoked = await user.call("DELETE", f"{KEYS}/{stored['id']}")
    assert revoked.status_code == 200
    assert await compare(api, key) == 401
    again = await user.call("DELETE", f"{KEYS}/{stored['id']}")
    assert again.json()["revoked_at"] == revoked.json()["revoked_at"]

    log = await user.call("GET", "/api/admin/audit?action=api_key")
    assert key not in log.text
    assert [entry["action"] for entry in log.json()["entries"]] == ["api_key.revoke", "api_key.create"]


async def test_a_revoked_key_stays_revoked_for_the_application(api: Api) -> None:
    user = await sign_in(api)
    made = (await user.call("POST", KEYS, json={"name": "Booth", "scopes": ["compute"]})).json()
    await user.call("DELETE", f"{KEYS}/{made['stored']['id']}")
    await api.services.database.execute("UPDATE api_keys SET revoked_at = NULL")
    assert await compare(api, made["key"]) == 401


@pytest.mark.parametrize(
    "body",
    [
        {"name": "", "scopes": ["compute"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["admin"]},
        {"name": "a\nb", "scopes": ["compute"]},
        {"name": "x" * 1000, "scopes": ["compute"]},
    ],
)
async def test_what_is_no_key_is_not_made(api: Api, body: dict[str, object]) -> None:
    user = await sign_in(api)
    assert (await user.call("POST", KEYS, json=body)).status_code == 422
    assert (await user.call("GET", KEYS)).json() == {"keys": []}


async def test_an_unknown_key_is_not_found(api: Api) -> None:
    user = await sign_in(api)
    assert (await user.call("DELETE", f"{KEYS}/{uuid.uuid4()}")).status_code == 404


async def test_only_operators_see_and_make_keys(api: Api) -> None:
    member, admin = await api.member("Bob"), await api.member("Ada", role="admin")

    async def ask(headers: dict[str, str]) -> list[httpx.Response]:
        return [
            await api.client.get(KEYS, headers=headers),
            await api.client.post(KEYS, json={"name": "x", "scopes": ["compute"]}, headers=headers),
        ]

    assert [answer.status_code for answer in await ask({})] == [401, 401]
    assert [answer.status_code for answer in await ask(member.headers)] == [403, 403]
    made = await ask(admin.headers)
    assert [answer.status_code for answer in made] == [200, 201]
    key = {"Authorization": f"Bearer {made[1].json()['key']}"}
    assert [answer.status_code for answer in await ask(key)] == [401, 401]


async def test_another_origin_makes_no_key(api: Api) -> None:
    user = await sign_in(api)
    body = {"name": "x", "scopes": ["compute"]}
    assert (await user.call("POST", KEYS, json=body, origin="https://elsewhere.example")).status_code == 403
