"""A real PgBouncer in transaction mode in front of the tests' server."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psycopg

from db.logins import APPLICATION_USER, USER
from ops.stack.ports import free_ports
from tests.support.gateway import LOOPBACK

PGBOUNCER: Final = (
    shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin") or ""
)
SERVER_CONNECTIONS: Final = 2
"""That one login may have to one database, fewer than any replica wants."""


@contextmanager
def transaction_pooler(dsn: str) -> Iterator[int]:
    """Runs a pooler in front of the embedded server of `dsn`; yields its port. It is started again whenever
    it ends, as 1.18, which Debian 12 has, does now and then after a cancelled query."""
    port = free_ports({"PgBouncer": (LOOPBACK, 0)})["PgBouncer"]
    (data,) = (Path(folder) for folder in parse_qs(urlsplit(dsn).query)["host"])
    # The server's user reads them, too: it refuses to run as root.
    logins, config = data / "pooler_logins", data / "pooler.ini"
    logins.write_text(f'"{USER}" ""\n"{APPLICATION_USER}" ""\n')
    config.write_text(
        "[databases]\n"
        f"* = host={data} pool_size={SERVER_CONNECTIONS}\n"
        "[pgbouncer]\n"
        f"listen_addr = {LOOPBACK}\nlisten_port = {port}\nunix_socket_dir =\n"
        f"pool_mode = transaction\nauth_type = trust\nauth_file = {logins}\n"
        "max_client_conn = 500\nserver_login_retry = 1\nquery_wait_timeout = 30\n"
    )
    user = ["-u", data.owner()] if getpass.getuser() == "root" else []
    command = [PGBOUNCER, "-q", *user, str(config)]
    process = _started(command, port)
    is_over = threading.Event()

    def keep() -> None:
        nonlocal process
        while process.wait() is not None and not is_over.is_set():
            process = _started(command, port)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield port
    finally:
        is_over.set()
        # Again, if it has just been started again.
        while keeper.is_alive():
            process.terminate()
            keeper.join(0.2)


def _started(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """A pooler that answers."""
    process = subprocess.Popen(command, cwd="/")
    # Not the database itself: a template must have no sessions.
    for _ in range(100):
        try:
            psycopg.connect(f"postgresql://{USER}@{LOOPBACK}:{port}/postgres").close()
            break
        except psycopg.OperationalError:
            assert process.poll() is None, f"{PGBOUNCER} does not start; what it says is above."
            time.sleep(0.05)
    return process


def through(dsn: str, port: int) -> str:
    """The DSN of the same login and database behind the pooler."""
    parsed = urlsplit(dsn)
    return f"postgresql://{parsed.username}@{LOOPBACK}:{port}{parsed.path}"
