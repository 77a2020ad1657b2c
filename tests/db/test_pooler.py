"""Behind a real PgBouncer in transaction mode, with fewer connections than the replicas want."""

from __future__ import annotations

import asyncio
import getpass
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from db.celebrities import Celebrities
from db.pool import Database
from ops.stack.ports import free_ports
from semblance.errors import QueryError
from tests.support.gateway import LOOPBACK
from tests.support.rows import DIGEST, gallery

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin") or ""
SERVER_CONNECTIONS = 2
REPLICAS = 3
PER_REPLICA = 4

pytestmark = pytest.mark.skipif(not PGBOUNCER, reason="needs PgBouncer (Debian: apt install pgbouncer)")


@pytest.fixture
def pooler(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """DSN of the test's database behind a pooler."""
    port = free_ports({"PgBouncer": (LOOPBACK, 0)})["PgBouncer"]
    monkeypatch.setattr("db.pool.TRANSACTION_POOLER_PORTS", frozenset({port}))
    parsed = urlsplit(dsn)
    (folder,) = parse_qs(parsed.query)["host"]
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        "[databases]\n"
        f"* = host={folder} user={parsed.username} pool_size={SERVER_CONNECTIONS}\n"
        "[pgbouncer]\n"
        f"listen_addr = {LOOPBACK}\nlisten_port = {port}\nunix_socket_dir =\n"
        "pool_mode = transaction\nauth_type = any\nmax_client_conn = 100\nserver_login_retry = 1\n"
        "query_wait_timeout = 30\n"
    )
    # It refuses to run as root, and then the server is another user's, too.
    user = ["-u", Path(folder).owner()] if getpass.getuser() == "root" else []
    process = subprocess.Popen([PGBOUNCER, "-q", *user, config], cwd="/", stderr=subprocess.PIPE)
    try:
        behind = f"postgresql://{parsed.username}@{LOOPBACK}:{port}{parsed.path}"
        for _ in range(100):
            try:
                psycopg.connect(behind).close()
                break
            except psycopg.OperationalError:
                assert process.poll() is None, process.stderr and process.stderr.read()
                time.sleep(0.05)
        yield behind
    finally:
        process.terminate()
        process.wait()
        if process.stderr:
            process.stderr.close()


@pytest.fixture
async def replicas(pooler: str) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(REPLICAS):
            opened.append(await Database.connect(pooler, pool_size=PER_REPLICA))
            stack.push_async_callback(opened[-1].close)
        yield opened


async def test_replicas_share_fewer_connections_than_they_want(replicas: list[Database]) -> None:
    rows = gallery(20)
    assert (await Celebrities(replicas[0]).copy_in(rows)).inserted == 20
    query = "SELECT pg_backend_pid() FROM pg_sleep(0.01)"
    wanted = [replica.fetchval(query) for replica in replicas for _ in range(PER_REPLICA)]
    assert len(set(await asyncio.gather(*wanted))) <= SERVER_CONNECTIONS
    # The same statement with parameters, on whichever server connection comes next.
    found = await asyncio.gather(
        *(
            Celebrities(replica).nearest(rows[3].embedding, pack_digest=DIGEST, limit=2)
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
