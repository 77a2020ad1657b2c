"""The embedded PostgreSQL as a part of the stack."""

from __future__ import annotations

from db.embedded import EmbeddedPostgres, application_dsn
from semblance.stack.home import StackHome


class PostgresPart:
    """Its clients connect again by themselves, so that nothing else is restarted with it."""

    name = "PostgreSQL"

    def __init__(self, home: StackHome) -> None:
        self._server = EmbeddedPostgres(home.postgres)
        self._owner_url = ""

    @property
    def owner_url(self) -> str:
        """DSN of its owner, once it is started."""
        return self._owner_url

    @property
    def url(self) -> str:
        """DSN of the application, once it is started."""
        return application_dsn(self._owner_url)

    def start(self) -> None:
        self._owner_url = self._server.start()

    def problem(self) -> str | None:
        return self._server.problem()

    def stop(self) -> None:
        self._server.stop()
