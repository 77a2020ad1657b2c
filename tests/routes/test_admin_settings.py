from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from db.system_settings import SystemSettings
from semblance.weights import Weights
from tests.support.api import Api, User

DEFAULTS = {
    "matching_weights": {
        "embedding": 0.2,
        "geometry": 0.2,
        "age": 0.15,
        "symmetry": 0.15,
        "skin_tone": 0.15,
        "expression": 0.15,
    },
    "match_threshold": 0.5,
    "allow_non_edu_emails": False,
    "daily_photo_upload_limit": 20,
    "daily_baby_generation_limit": 10,
    "text_generation": False,
    "profile_search": False,
    "message_search": False,
}


def weights(**others: float) -> dict[str, float]:
    names = ("embedding", "geometry", "age", "symmetry", "skin_tone", "expression")
    return dict.fromkeys(names, 0.0) | others


@pytest.fixture
async def admin(api: Api) -> User:
    return await api.member("Root", role="admin")


async def patch(api: Api, user: User, body: object) -> httpx.Response:
    return await api.client.patch("/api/admin/settings", json=body, headers=user.headers)


async def current(api: Api, user: User) -> dict[str, Any]:
    answer = await api.client.get("/api/admin/settings", headers=user.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_the_defaults(api: Api, admin: User) -> None:
    answer = await current(api, admin)
    assert answer.pop("updated_by") is None
    assert datetime.now(UTC) - datetime.fromisoformat(answer.pop("updated_at")) < timedelta(hours=1)
    assert answer == DEFAULTS


async def test_settings_that_are_missing_have_their_defaults(api: Api) -> None:
    stored = await api.services.db.system_settings.get()
    await api.owner.execute("DELETE FROM system_settings")
    missing = await api.services.db.system_settings.get()
    assert missing == SystemSettings()
    assert missing.matching_weights == stored.matching_weights == Weights()
    assert missing.daily_photo_upload_limit == stored.daily_photo_upload_limit


async def test_whole_numbers_stay_whole(api: Api) -> None:
    await api.services.database.execute(
        "UPDATE system_settings SET value = '7.0' WHERE key = 'daily_photo_upload_limit'"
    )
    limit = (await api.services.db.system_settings.get()).daily_photo_upload_limit
    assert (type(limit), limit) == (int, 7)


async def test_a_change_changes_what_it_names(api: Api, admin: User) -> None:
    before = await current(api, admin)
    changes = {
        "matching_weights": weights(embedding=0.5, age=0.5),
        "daily_photo_upload_limit": -1,
        "daily_baby_generation_limit": 0,
        "allow_non_edu_emails": True,
    }
    answer = await patch(api, admin, changes)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["updated_by"] == str(admin.id)
    assert changed["updated_at"] > before["updated_at"]
    assert changed == {
        **DEFAULTS,
        **changes,
        "updated_at": changed["updated_at"],
        "updated_by": str(admin.id),
    }
    assert await current(api, admin) == changed
    by = await api.services.database.fetchval(
        "SELECT array_agg(key ORDER BY key) FROM system_settings WHERE updated_by = $1", admin.id
    )
    assert by == sorted(changes)


async def test_nothing_to_change(api: Api, admin: User) -> None:
    before = await current(api, admin)
    for body in ({}, {"match_threshold": None, "matching_weights": None}):
        answer = await patch(api, admin, body)
        assert (answer.status_code, answer.json()) == (200, before)


async def test_weights_that_the_database_takes_too(api: Api, admin: User) -> None:
    for given in (
        weights(embedding=1),
        weights(embedding=0.999),
        weights(embedding=0.5005, age=0.5005),
        weights(embedding=0.1, geometry=0.2, age=0.3, symmetry=0.2, skin_tone=0.1, expression=0.101),
        weights(embedding=1, age=1e-300),
    ):
        answer = await patch(api, admin, {"matching_weights": given})
        assert answer.status_code == 200, answer.text
        # Meaningless digits are dropped.
        assert answer.json()["matching_weights"] == pytest.approx(given, abs=1e-12)


REFUSED: list[object] = [
    {"matching_weights": weights(embedding=0.998)},
    {"matching_weights": weights(embedding=0.5005, age=0.50051)},
    {"matching_weights": weights(embedding=1.2, age=-0.2)},
    {"matching_weights": {"embedding": 1}},
    {"matching_weights": weights(embedding=1) | {"hair": 0}},
    {"matching_weights": weights() | {"embedding": "1"}},
    {"matching_weights": weights() | {"embedding": True}},
    {"matching_weights": []},
    {"match_threshold": 1.1},
    {"match_threshold": -0.1},
    {"match_threshold": "0.5"},
    {"match_threshold": True},
    {"allow_non_edu_emails": "yes"},
    {"allow_non_edu_emails": 1},
    {"daily_photo_upload_limit": -2},
    {"daily_photo_upload_limit": 1.5},
    {"daily_photo_upload_limit": 1_000_001},
    {"daily_photo_upload_limit": 10**40},
    {"daily_baby_generation_limit": "3"},
    {"daily_baby_generation_limit": True},
    {"unknown": 1},
    {"updated_by": "6f7d9a52-0d5b-4a8a-8b0e-0a1d0f6f5a11"},
    [],
    "text",
    None,
]


async def test_an_invalid_value_changes_nothing(api: Api, admin: User) -> None:
    for refused in REFUSED:
        # Together with a valid value, which must not be stored either.
        body = {"match_threshold": 0.9, **refused} if isinstance(refused, dict) else refused
        answer = await patch(api, admin, body)
        assert answer.status_code == 422, (refused, answer.text)
    answer = await api.client.get("/api/admin/settings", headers=admin.headers)
    assert answer.json()["match_threshold"] == 0.5
    assert answer.json()["updated_by"] is None


async def test_a_value_that_is_not_a_number_is_refused(api: Api, admin: User) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        answer = await api.client.patch(
            "/api/admin/settings",
            content=f'{{"match_threshold": {number}}}',
            headers={**admin.headers, "Content-Type": "application/json"},
        )
        assert answer.status_code == 422, (number, answer.text)


async def test_parallel_changes_of_everything_do_not_mix(api: Api, admin: User) -> None:
    changes = [
        {
            "matching_weights": weights(embedding=round(1 - number / 100, 2), age=number / 100),
            "match_threshold": number / 100,
            "daily_photo_upload_limit": number,
        }
        for number in range(12)
    ]
    answers = await asyncio.gather(*(patch(api, admin, change) for change in changes))
    assert {answer.status_code for answer in answers} == {200}
    last = await current(api, admin)
    assert {key: last[key] for key in changes[0]} in changes


async def test_only_admins(api: Api) -> None:
    member = await api.member("Ada")
    for method in ("GET", "PATCH"):
        path = "/api/admin/settings"
        assert (await api.client.request(method, path, json={})).status_code == 401
        answer = await api.client.request(method, path, json={}, headers=member.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
