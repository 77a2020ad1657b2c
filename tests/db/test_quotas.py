"""Daily quotas: counted in the same transaction, by UTC day, exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from db import quotas
from db.pool import Database
from db.quotas import QuotaKind
from semblance.errors import QuotaExceededError
from tests.support.rows_faces import set_limit

KINDS: tuple[QuotaKind, ...] = ("photo_upload", "baby_generation")


@pytest.fixture
async def profile(database: Database) -> AsyncIterator[UUID]:
    identity = uuid4()
    await database.execute("INSERT INTO profiles (id, profile_type) VALUES ($1, 'user')", identity)
    yield identity


async def take(database: Database, profile: UUID, kind: QuotaKind = "photo_upload") -> bool:
    try:
        async with database.transaction() as connection:
            await quotas.take(connection, profile, kind)
    except QuotaExceededError:
        return False
    return True


async def used(database: Database, kind: QuotaKind = "photo_upload") -> int:
    return int(
        await database.fetchval("SELECT coalesce(sum(count), 0) FROM user_daily_quotas WHERE kind = $1", kind)
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_has_its_own_limit(database: Database, profile: UUID, kind: QuotaKind) -> None:
    await set_limit(database, kind, 2)
    assert [await take(database, profile, kind) for _ in range(4)] == [True, True, False, False]
    assert await used(database, kind) == 2
    (other,) = set(KINDS) - {kind}
    assert await take(database, profile, other)


async def test_fifty_at_once_take_exactly_the_limit(database: Database, profile: UUID) -> None:
    await set_limit(database, "photo_upload", 5)
    taken = await asyncio.gather(*(take(database, profile) for _ in range(50)))
    assert sum(taken) == 5
    assert await used(database) == 5


async def test_one_that_waits_is_refused_when_the_last_is_gone(database: Database, profile: UUID) -> None:
    await set_limit(database, "photo_upload", 1)
    async with database.transaction() as connection:
        await quotas.take(connection, profile, "photo_upload")
        waiting = asyncio.create_task(take(database, profile))
        await asyncio.sleep(0.2)
        assert not waiting.done()
    assert not await waiting
    assert await used(database) == 1


async def test_one_that_waits_goes_on_when_the_other_fails(database: Database, profile: UUID) -> None:
    await set_limit(database, "photo_upload", 1)
    with suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await quotas.take(connection, profile, "photo_upload")
            waiting = asyncio.create_task(take(database, profile))
            await asyncio.sleep(0.2)
            raise ZeroDivisionError
    assert await waiting
    assert await used(database) == 1


async def test_no_limit_and_none_allowed(database: Database, profile: UUID) -> None:
    await set_limit(database, "photo_upload", 0)
    assert not await take(database, profile)
    await set_limit(database, "photo_upload", -1)
    assert all([await take(database, profile) for _ in range(30)])
    await database.execute("UPDATE system_settings SET value = '1e30' WHERE key LIKE 'daily%'")
    assert await take(database, profile)
    await database.execute("DELETE FROM system_settings WHERE key LIKE 'daily%'")
    assert await take(database, profile)
    # The limit is lowered below what was used already.
    await database.execute(
        "INSERT INTO system_settings (key, value) VALUES ('daily_photo_upload_limit', '3')"
    )
    assert not await take(database, profile)
    assert await used(database) == 32


async def test_yesterdays_uses_do_not_count(database: Database, profile: UUID) -> None:
    await set_limit(database, "photo_upload", 1)
    await database.execute(
        "INSERT INTO user_daily_quotas (profile_id, day, kind, count)"
        " VALUES ($1, (now() AT TIME ZONE 'UTC')::date - 1, 'photo_upload', 7)",
        profile,
    )
    assert await take(database, profile)
    assert not await take(database, profile)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
async def test_the_day_is_in_utc_in_every_time_zone_of_the_server(
    database: Database, profile: UUID, zone: str
) -> None:
    await set_limit(database, "photo_upload", 0)
    async with database.transaction() as connection:
        await connection.execute(f"SET LOCAL TimeZone = '{zone}'")
        with pytest.raises(QuotaExceededError) as caught:
            await quotas.take(connection, profile, "photo_upload")
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    error = caught.value
    assert error.resets_at == midnight
    assert error.retry_after == pytest.approx((midnight - now).total_seconds(), abs=60)
    assert error.details == {
        "message": "0 of 0 used today; the count restarts at midnight UTC.",
        "limit": 0,
        "current": 0,
        "resetAt": midnight.isoformat(),
        "type": "photo_upload",
    }


async def test_what_is_given_back_can_be_taken_again(database: Database, profile: UUID) -> None:
    await set_limit(database, "photo_upload", 1)
    async with database.transaction() as connection:
        day = await quotas.take(connection, profile, "photo_upload")
    assert not await take(database, profile)
    # Neither another day nor another kind of use.
    await quotas.give_back(database, profile, "photo_upload", day - timedelta(days=1))
    await quotas.give_back(database, profile, "baby_generation", day)
    assert not await take(database, profile)
    for _ in range(3):
        await quotas.give_back(database, profile, "photo_upload", day)
    assert await used(database) == 0
    assert [await take(database, profile) for _ in range(2)] == [True, False]
