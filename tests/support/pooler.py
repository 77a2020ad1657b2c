"""A real PgBouncer in transaction mode in front of the tests' server."""

from __future__ import annotations

import getpass
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import psycopg

from db.logins import APPLICATION_USER, USER

PGBOUNCER: Final = (
    (shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "")
    if sys.platform == "linux"
    else ""
)
"""On Linux, where every address of 127.0.0.0/8 is this machine."""
PORT: Final = 6432
"""By which all processes of the product know a pooler. So each pooler has an address of its own."""
SERVER_CONNECTIONS: Final = 2
"""That one login may have to one database, fewer than any replica wants."""


@contextmanager
def transaction_pooler(dsn: str) -> Iterator[str]:
    """Runs a pooler in front of the embedded server of `dsn`; yields its address. It is started again
    whenever it ends, as 1.18, which Debian 12 has, does now and then after a cancelled query."""
    host = str(ip_address("127.0.0.2") + secrets.randbelow(2**24 - 4))
    (data,) = (Path(folder) for folder in parse_qs(urlsplit(dsn).query)["host"])
    # The server's user reads them, too: it refuses to run as root.
    logins, config = data / "pooler_logins", data / "pooler.ini"
    logins.write_text(f'"{USER}" ""\n"{APPLICATION_USER}" ""\n')
    config.write_text(
        "[databases]\n"
        f"* = host={data} pool_size={SERVER_CONNECTIONS}\n"
        "[pgbouncer]\n"
        f"listen_addr = {host}\nlisten_port = {PORT}\nunix_socket_dir =\n"
        f"pool_mode = transaction\nauth_type = trust\nauth_file = {logins}\n"
        "max_client_conn = 500\nserver_login_retry = 1\nquery_wait_timeout = 30\n"
    )
    user = ["-u", data.owner()] if getpass.getuser() == "root" else []
    command = [PGBOUNCER, "-q", *user, str(config)]
    process = _started(command, host)
    is_over = threading.Event()

    def keep() -> None:
        nonlocal process
        while process.wait() is not None and not is_over.is_set():
            process = _started(command, host)

    keeper = threading.Thread(target=keep)
    keeper.start()
    try:
        yield host
    finally:
        is_over.set()
        # Again, if it has just been started again.
        while keeper.is_alive():
            process.terminate()
            keeper.join(0.2)


def _started(command: list[str], host: str) -> subprocess.Popen[bytes]:
    """A pooler that answers."""
    process = subprocess.Popen(command, cwd="/")
    # Not the database itself: a template must have no sessions.
    for _ in range(100):
        try:
            psycopg.connect(f"postgresql://{USER}@{host}:{PORT}/postgres").close()
            break
        except psycopg.OperationalError:
            assert process.poll() is None, f"{PGBOUNCER} does not start; what it says is above."
            time.sleep(0.05)
    return process


def through(dsn: str, host: str) -> str:
    """The DSN of the same login and database behind the pooler at this address."""
    parsed = urlsplit(dsn)
    return f"postgresql://{parsed.username}@{host}:{PORT}{parsed.path}"
