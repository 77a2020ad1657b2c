"""The database and the two logins of the embedded server, and the DSN of the one from that of the other."""

from __future__ import annotations

DATABASE = "semblance"
USER = "postgres"
"""The owner of everything."""
APPLICATION_USER = "semblance_app"
"""A login that has the rights of the role `semblance_service` and no others."""


def application_dsn(dsn: str) -> str:
    """The DSN of the application's login on the embedded server whose owner's DSN is `dsn`."""
    return dsn.replace(f"//{USER}@", f"//{APPLICATION_USER}@", 1)


def owner_dsn(dsn: str) -> str:
    """The other way round; a DSN of another server is returned unchanged."""
    return dsn.replace(f"//{APPLICATION_USER}@/{DATABASE}?", f"//{USER}@/{DATABASE}?", 1)
