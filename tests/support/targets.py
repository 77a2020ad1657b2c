"""The target of an adoption, read once for databases that make the same one of it."""

from __future__ import annotations

from functools import partial

import psycopg
import pytest

from db.adoption.target import Target, read_target

# What `db/schema.sql` asks before it makes something, and what gives its objects other rights.
_SURROUNDINGS = """
    SELECT ARRAY[
        current_user,
        (SELECT string_agg(ROW(datdba, datacl)::text, '') FROM pg_database
            WHERE datname = current_database()),
        (SELECT string_agg(pg_roles::text, '' ORDER BY rolname) FROM pg_roles),
        (SELECT string_agg(ROW(roleid, member, grantor)::text, '' ORDER BY roleid, member, grantor)
            FROM pg_auth_members),
        (SELECT string_agg(ROW(nspname, nspowner, nspacl)::text, '' ORDER BY nspname) FROM pg_namespace
            WHERE nspname NOT LIKE 'pg\\_%'),
        (SELECT string_agg(ROW(extname, extnamespace::regnamespace)::text, '' ORDER BY extname)
            FROM pg_extension),
        (SELECT string_agg(ROW(defaclrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl)::text, ''
            ORDER BY defaclrole, defaclnamespace::regnamespace::text, defaclobjtype) FROM pg_default_acl),
        (SELECT string_agg(ROW(pubname, puballtables, pnnspid::regnamespace)::text, ''
            ORDER BY pubname, pnnspid::regnamespace::text)
            FROM pg_publication LEFT JOIN pg_publication_namespace ON pnpubid = pg_publication.oid),
        to_regprocedure('auth.uid()')::text,
        (SELECT coalesce(string_agg(tgname, '' ORDER BY tgname), 'none') FROM pg_trigger
            WHERE tgrelid = to_regclass('auth.users')),
        to_regclass('auth.users')::text
    ]
"""

_known: dict[tuple[str | None, ...], Target] = {}


def _read(known: dict[tuple[str | None, ...], Target], connection: psycopg.Connection) -> Target:
    row = connection.execute(_SURROUNDINGS).fetchone()
    assert row is not None
    key = tuple(row[0])
    if key not in known:
        known[key] = read_target(connection)
    return known[key]


@pytest.fixture
def known_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adopt without reading a known target again, which takes as long as an adoption."""
    monkeypatch.setattr("db.adoption.run.read_target", partial(_read, _known))
