"""API keys of the face-compute endpoints: who is let in, until when, and what is recorded."""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime

import asyncpg
import httpx
import psycopg
import pytest

from db.api_keys import ApiKeys
from db.pool import Database
from semblance.errors import NotFoundError, QueryError
from tests.support.api import API_KEY, Api

VECTORS = {"embedding_a": [1.0, 0.0], "embedding_b": [1.0, 0.0]}


async def _compare(api: Api, key: str | None) -> httpx.Response:
    headers = {} if key is None else {b"Authorization": f"Bearer {key}".encode()}
    return await api.client.post("/compare-faces", json=VECTORS, headers=headers)


async def test_the_services_own_key_and_stored_ones_open_the_compute_endpoints(api: Api) -> None:
    key, stored = await ApiKeys(api.owner).create("booth", ["compute"])
    assert stored.last_used_at is None
    for good in (API_KEY, key):
        assert (await _compare(api, good)).status_code == 200
    for bad in (None, "", "smb_", "smk_", key[:-1], key + "A", key.swapcase(), "smk_" + "A" * 43, "é" * 47):
        answer = await _compare(api, bad)
        assert answer.status_code == 401, bad
        assert answer.json()["code"] == "unauthorized"
    [after] = await api.services.db.api_keys.all()
    assert after.last_used_at is not None


async def test_a_users_token_is_no_key_and_a_key_no_token(api: Api) -> None:
    key, _ = await ApiKeys(api.owner).create("booth", ["compute"])
    token = api.user().headers["Authorization"].removeprefix("Bearer ")
    answer = await _compare(api, token)
    assert (answer.status_code, "API key" in answer.json()["error"]) == (401, True)
    answer = await api.client.get("/api/auth/me", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, "user's access token" in answer.json()["error"]) == (401, True)


async def test_a_revocation_holds_at_once_and_for_good(api: Api) -> None:
    keys = ApiKeys(api.owner)
    (key, stored), (other, _) = await keys.create("one", ["compute"]), await keys.create("two", ["compute"])
    assert (await _compare(api, key)).status_code == 200
    revoked = await keys.revoke(stored.id)
    assert (await _compare(api, key)).status_code == 401
    assert (await _compare(api, other)).status_code == 200
    assert (await keys.revoke(stored.id)).revoked_at == revoked.revoked_at
    with pytest.raises(NotFoundError):
        await keys.revoke(uuid.uuid4())


async def test_the_key_itself_is_not_kept(database: Database, dsn: str) -> None:
    key, stored = await ApiKeys(database).create("booth", ["compute"])
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT api_keys::text FROM api_keys").fetchone()
    assert row is not None
    assert stored.prefix in row[0]
    assert key.startswith(stored.prefix)
    assert key[len(stored.prefix) :] not in row[0]
    assert len(key) - len(stored.prefix) > 32


async def test_the_use_is_recorded_once_a_minute(database: Database) -> None:
    keys = ApiKeys(database)
    key, stored = await keys.create("booth", ["compute"])

    async def version() -> tuple[str, datetime | None]:
        row = await database.fetchrow(
            "SELECT xmin::text, last_used_at FROM api_keys WHERE id = $1", stored.id
        )
        assert row is not None
        return row["xmin"], row["last_used_at"]

    assert all(await asyncio.gather(*(keys.use(key, "compute") for _ in range(20))))
    first = await version()
    assert all(await asyncio.gather(*(keys.use(key, "compute") for _ in range(20))))
    assert await version() == first
    await database.execute("UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    assert await keys.use(key, "compute")
    _, used = await version()
    assert used is not None and first[1] is not None
    assert used > first[1]


@pytest.mark.parametrize(("name", "scopes"), [("", ["compute"]), ("x", []), ("x", ["admin"])])
async def test_a_key_without_name_or_with_no_such_scope_is_not_made(
    database: Database, name: str, scopes: list[str]
) -> None:
    with pytest.raises(QueryError):
        await ApiKeys(database).create(name, scopes)  # type: ignore[arg-type]
    assert await ApiKeys(database).all() == []


async def test_a_key_of_another_scope_does_not_open_this_one(database: Database) -> None:
    key, _ = await ApiKeys(database).create("booth", ["compute"])
    assert not await ApiKeys(database).use(key, "admin")  # type: ignore[arg-type]
    assert (await ApiKeys(database).all())[0].last_used_at is None


@pytest.mark.parametrize("role", ["authenticated", "anon"])
async def test_end_users_see_no_keys(database: Database, role: str) -> None:
    await ApiKeys(database).create("booth", ["compute"])
    for statement in (
        "SELECT count(*) FROM api_keys",
        "UPDATE api_keys SET revoked_at = NULL",
        "DELETE FROM api_keys",
        "TRUNCATE api_keys",
        "INSERT INTO api_keys (name, prefix, hash, scopes) VALUES ('x', 'x', sha256(''), '{compute}')",
    ):
        with pytest.raises(QueryError, match="permission denied"):
            async with database.transaction() as connection:
                await connection.execute(f"SET LOCAL ROLE {role}")
                await connection.execute(statement)


async def test_the_application_cannot_change_what_a_key_is(database: Database) -> None:
    key, stored = await ApiKeys(database).create("booth", ["compute"])

    async def as_service(connection: asyncpg.Connection, statement: str) -> None:
        await connection.execute("SET LOCAL ROLE semblance_service")
        await connection.execute(statement)

    for statement in (
        f"UPDATE api_keys SET scopes = '{{search}}' WHERE id = '{stored.id}'",
        "UPDATE api_keys SET hash = sha256('')",
        "DELETE FROM api_keys",
    ):
        with pytest.raises(QueryError, match="permission denied"):
            async with database.transaction() as connection:
                await as_service(connection, statement)
    async with database.transaction() as connection:
        await as_service(connection, "UPDATE api_keys SET last_used_at = now()")
        assert await connection.fetchval("SELECT count(*) FROM api_keys") == 1
    assert await ApiKeys(database).use(key, "compute")
