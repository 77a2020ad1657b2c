"""PostgreSQL as a part of the stack: the embedded server, or one that the settings name."""

from __future__ import annotations

import psycopg

from db.logins import application_dsn
from ops.stack.embedded import EmbeddedPostgres
from ops.stack.home import StackHome
from semblance.errors import DatabaseError

_CONNECT_SECONDS = 3


class PostgresPart:
    """The embedded server. Its clients reconnect by themselves, so nothing else is restarted with it."""

    name = "PostgreSQL"

    def __init__(self, home: StackHome) -> None:
        self._server = EmbeddedPostgres(home.postgres)
        self._owner_url = ""

    @property
    def owner_url(self) -> str:
        """DSN of the owner, after `start`."""
        return self._owner_url

    @property
    def url(self) -> str:
        """DSN of the application, after `start`."""
        return application_dsn(self._owner_url)

    def start(self) -> None:
        self._owner_url = self._server.start()

    def problem(self) -> str | None:
        return self._server.problem()

    def stop(self) -> None:
        self._server.stop()


class ForeignPostgres:
    """A server that the settings name. It is only watched, to report when it cannot be reached."""

    name = "PostgreSQL"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def start(self) -> None:
        if problem := self.problem():
            raise DatabaseError(problem)

    def problem(self) -> str | None:
        try:
            psycopg.connect(self._dsn, connect_timeout=_CONNECT_SECONDS).close()
        except psycopg.Error as exc:
            reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
            return f"The server of SEMBLANCE_DATABASE_URL cannot be reached: {reason}"
        return None

    def stop(self) -> None:
        """Nothing: the server does not belong to the stack."""
