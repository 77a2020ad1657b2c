"""Behind a real PgBouncer in transaction mode, with fewer connections than the replicas want."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest

from db.celebrities import Celebrities
from db.pool import Database
from db.spare_embeddings import SpareEmbeddings
from semblance.errors import ConfigurationError, QueryError
from tests.support.pooler import PGBOUNCER, SERVER_CONNECTIONS, through, transaction_pooler
from tests.support.rows import DIGEST, gallery

REPLICAS = 3
PER_REPLICA = 4

pytestmark = pytest.mark.skipif(not PGBOUNCER, reason="needs PgBouncer (Debian: apt install pgbouncer)")


@pytest.fixture
def pooler(dsn: str) -> Iterator[str]:
    """DSN of the test's database behind a pooler."""
    with transaction_pooler(dsn) as started:
        yield through(dsn, started.host)


@pytest.fixture
async def replicas(pooler: str) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(REPLICAS):
            opened.append(await Database.connect(pooler, pool_size=PER_REPLICA))
            stack.push_async_callback(opened[-1].close)
        yield opened


async def test_packs_are_not_switched_through_a_pooler(replicas: list[Database]) -> None:
    with pytest.raises(ConfigurationError, match="name the server itself"):
        await SpareEmbeddings(replicas[0]).check_owner()


async def test_replicas_share_fewer_connections_than_they_want(replicas: list[Database]) -> None:
    rows = gallery(20)
    assert (await Celebrities(replicas[0]).copy_in(rows)).inserted == 20
    query = "SELECT pg_backend_pid() FROM pg_sleep(0.01)"
    wanted = [replica.fetchval(query) for replica in replicas for _ in range(PER_REPLICA)]
    assert len(set(await asyncio.gather(*wanted))) <= SERVER_CONNECTIONS
    # The same statement with parameters, on whichever server connection comes next.
    ids = [row.id for row in rows]
    terms: dict[str, Any] = {"pack_digest": DIGEST, "limit": 2, "category": None, "gender": None}
    found = await asyncio.gather(
        *(
            Celebrities(replica).nearest_of(ids, rows[3].embedding, **terms)
            for replica in replicas
            for _ in range(2 * PER_REPLICA)
        )
    )
    assert {hits[0].celebrity_id for hits in found} == {rows[3].id}


async def test_transactions_keep_their_connection_and_leave_nothing_on_it(replicas: list[Database]) -> None:
    async def change(replica: Database, value: float) -> None:
        async with replica.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = '7s'")
            await connection.execute(
                "UPDATE system_settings SET value = $1 WHERE key = 'match_threshold'", value
            )
            assert await connection.fetchval("SHOW statement_timeout") == "7s"

    await asyncio.gather(*(change(replica, 0.5) for replica in replicas for _ in range(PER_REPLICA)))
    assert "7s" not in await asyncio.gather(*(each.fetchval("SHOW statement_timeout") for each in replicas))
    with pytest.raises(QueryError):
        await replicas[0].execute("SELECT 1 / 0")
    value = "SELECT value FROM system_settings WHERE key = 'match_threshold'"
    assert [await each.fetchval(value) for each in replicas] == [0.5] * REPLICAS


async def test_who_waits_for_notifications_is_woken_all_the_same(replicas: list[Database]) -> None:
    async with aclosing(replicas[0].notifications("match_jobs")) as wake_ups:
        await anext(wake_ups)
