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
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg.rows import dict_row

from db.logins import APPLICATION_USER, USER
from tests.support.waiting import PATIENCE_S

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


class Pooler:
    """A pooler that runs.

    1.18, which Debian 12 has, ends now and then when a client leaves while its statement is cancelled (fixed
    later: pgbouncer/pgbouncer issues 801 and 822). It is then started again, as a service manager does.
    """

    def __init__(self, command: list[str], host: str) -> None:
        """command: starts it. host: its address."""
        self.host = host
        self._command = command
        self._process = self._started()
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def settle(self) -> None:
        """Return once it works on no cancelled statement, which could end it: what one test leaves behind is
        not to fail the next one."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_settled():
            assert time.monotonic() < deadline, "The pooler does not come to rest."
            time.sleep(0.01)

    def stop(self) -> None:
        """End it for good."""
        self._is_over.set()
        # Again, if it has just been started again.
        while self._keeper.is_alive():
            self._process.terminate()
            self._keeper.join(0.2)

    def _keep(self) -> None:
        while self._process.wait() is not None and not self._is_over.is_set():
            self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._command, cwd="/")
        for _ in range(int(PATIENCE_S / 0.05)):
            try:
                self._pools()
                break
            except psycopg.OperationalError:
                assert process.poll() is None, f"{PGBOUNCER} does not start; what it says is above."
                time.sleep(0.05)
        return process

    def _is_settled(self) -> bool:
        try:
            pools = self._pools()
        except psycopg.OperationalError:
            return False
        return not any(pool[column] for pool in pools for column in pool if "cancel" in column)

    def _pools(self) -> list[dict[str, Any]]:
        """What the pooler says about its pools, also of cancelled statements. It asks no database: a template
        must have no sessions."""
        console = f"postgresql://{USER}@{self.host}:{PORT}/pgbouncer"
        with (
            closing(psycopg.connect(console, autocommit=True)) as connection,
            # The console knows only the simple protocol.
            psycopg.ClientCursor(connection, row_factory=dict_row) as cursor,
        ):
            return cursor.execute("SHOW POOLS").fetchall()


@contextmanager
def transaction_pooler(dsn: str) -> Iterator[Pooler]:
    """Runs a pooler in front of the embedded server of `dsn`."""
    host = str(ip_address("127.0.0.2") + secrets.randbelow(2**24 - 4))
    (data,) = (Path(folder) for folder in parse_qs(urlsplit(dsn).query)["host"])
    # The server's user reads them, too: it refuses to run as root. Another pooler of the server has others.
    logins, config = data / f"pooler_logins_{host}", data / f"pooler_{host}.ini"
    logins.write_text(f'"{USER}" ""\n"{APPLICATION_USER}" ""\n')
    config.write_text(
        "[databases]\n"
        f"* = host={data} pool_size={SERVER_CONNECTIONS}\n"
        "[pgbouncer]\n"
        f"listen_addr = {host}\nlisten_port = {PORT}\nunix_socket_dir =\n"
        f"pool_mode = transaction\nauth_type = trust\nauth_file = {logins}\nadmin_users = {USER}\n"
        "max_client_conn = 500\nserver_login_retry = 1\nquery_wait_timeout = 30\n"
    )
    user = ["-u", data.owner()] if getpass.getuser() == "root" else []
    pooler = Pooler([PGBOUNCER, "-q", *user, str(config)], host)
    try:
        yield pooler
    finally:
        pooler.stop()


def through(dsn: str, host: str) -> str:
    """The DSN of the same login and database behind the pooler at this address."""
    parsed = urlsplit(dsn)
    return f"postgresql://{parsed.username}@{host}:{PORT}{parsed.path}"
