from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx

from tests.support.api import Api, User


async def tell(api: Api, user: User, last_seen: object) -> httpx.Response:
    return await api.client.patch("/api/presence", json={"last_seen": last_seen}, headers=user.headers)


async def test_the_latest_time_stays(api: Api, ada: User) -> None:
    now = datetime.now(UTC)
    for given, known in (
        (now - timedelta(hours=2), now - timedelta(hours=2)),
        (now - timedelta(hours=1), now - timedelta(hours=1)),
        (now - timedelta(hours=3), now - timedelta(hours=1)),
    ):
        answer = await tell(api, ada, given.isoformat())
        assert answer.status_code == 200, answer.text
        assert datetime.fromisoformat(answer.json()["last_seen"]) == known
    profile = await api.services.db.profiles.get(ada.id)
    assert profile is not None
    assert profile.last_seen == now - timedelta(hours=1)


async def test_a_clock_that_is_a_little_ahead_means_now(api: Api, ada: User) -> None:
    given = datetime.now(UTC) + timedelta(seconds=30)
    answer = await tell(api, ada, given.isoformat())
    assert answer.status_code == 200, answer.text
    assert datetime.fromisoformat(answer.json()["last_seen"]) < given


async def test_an_offset_is_understood(api: Api, ada: User) -> None:
    answer = await tell(api, ada, "2025-06-01T14:00:00+02:00")
    assert datetime.fromisoformat(answer.json()["last_seen"]) == datetime(2025, 6, 1, 12, tzinfo=UTC)


async def test_the_future_is_refused(api: Api, ada: User) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=2)).isoformat()
    for given in (soon, "9999-12-31T23:59:59Z", "9998-01-01T00:00:00-12:00"):
        answer = await tell(api, ada, given)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_input")


async def test_an_invalid_time_is_refused(api: Api, ada: User) -> None:
    for given in (
        "2025-06-01T14:00:00",
        "2025-06-01",
        "yesterday",
        "",
        None,
        0,
        1.5,
        1e300,
        True,
        "1700000000",
        "1700000000.5",
        "-1700000000",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2025-06-01T14:00:00+99:00",
    ):
        answer = await tell(api, ada, given)
        assert answer.status_code == 422, (given, answer.text)


async def test_credentials_are_needed(api: Api) -> None:
    answer = await api.client.patch("/api/presence", json={"last_seen": "2025-06-01T14:00:00Z"})
    assert answer.status_code == 401
