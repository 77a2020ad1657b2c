"""Whether the application's login has more rights than the application needs."""

from __future__ import annotations

from dataclasses import dataclass

from db.migrate import connect
from semblance.errors import DatabaseError

_LOGIN = """
    SELECT
        rolname,
        rolsuper,
        rolbypassrls,
        EXISTS (
            SELECT FROM pg_class
            WHERE oid = to_regclass('public.profiles') AND pg_has_role(relowner, 'USAGE')
        ),
        EXISTS (
            SELECT FROM pg_roles AS service
            WHERE service.rolname = 'semblance_service' AND pg_has_role(service.oid, 'USAGE')
        )
    FROM pg_roles
    WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Login:
    """The role that a DSN logs in as. owns_tables: also through another role that it is a member of."""

    name: str
    is_superuser: bool
    bypasses_policies: bool
    owns_tables: bool
    is_service: bool

    @property
    def excess(self) -> str | None:
        """A right that the application does not need, if there is one."""
        if self.is_superuser:
            return "is a superuser"
        if self.owns_tables:
            return "owns the tables"
        return "bypasses row-level security" if self.bypasses_policies else None


def find_login(dsn: str) -> Login:
    """Raises DatabaseError if the server cannot be reached, ConfigurationError if the DSN is invalid."""
    with connect(dsn) as connection:
        row = connection.execute(_LOGIN).fetchone()
    if row is None:
        raise DatabaseError("The server did not report the login's role.")
    return Login(*row)
