"""The target of an adoption: `db/schema.sql`, as the server itself reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from db.adoption.catalog import Catalog, read_catalog

SCHEMA_FILE = Path(__file__).parents[1] / "schema.sql"

_BLOCK = re.compile(r"^DO \$\$\n.*?^\$\$;$", re.MULTILINE | re.DOTALL)
_SEED = re.compile(r"^INSERT INTO .*?;$", re.MULTILINE | re.DOTALL)
_TRANSACTION = re.compile(r"^(?:BEGIN|COMMIT);$", re.MULTILINE)
_FIRST_TABLE = "\nCREATE TABLE "


@dataclass(frozen=True, slots=True)
class Target:
    """The target schema.

    foundation: blocks that the tables need, which do nothing if their objects exist: roles, pgvector,
    auth.uid(). blocks: the other blocks, which check in the same way. seeds: statements that insert a new
    database's rows. settings: the default settings, JSON by key.
    """

    catalog: Catalog
    foundation: tuple[str, ...]
    blocks: tuple[str, ...]
    seeds: tuple[str, ...]
    settings: Mapping[str, str]


def read_target(connection: psycopg.Connection) -> Target:
    """Make the schema next to the present one, read it, and roll back.

    In that transaction `public` gets another name, which nobody else sees, and an empty schema takes its
    place. So definitions look as this server writes them, which differs between versions of PostgreSQL. No
    table of `public` is locked.

    Raises psycopg.Error.
    """
    schema = SCHEMA_FILE.read_text(encoding="utf-8")
    head, separator, rest = schema.partition(_FIRST_TABLE)
    with connection.transaction(force_rollback=True):
        connection.execute("ALTER SCHEMA public RENAME TO semblance_set_aside")
        connection.execute("CREATE SCHEMA public")
        connection.execute(_TRANSACTION.sub("", schema).encode())
        settings = connection.execute("SELECT key, value::text FROM public.system_settings").fetchall()
        catalog = read_catalog(connection)
    return Target(
        catalog,
        tuple(_BLOCK.findall(head)),
        tuple(_BLOCK.findall(separator + rest)),
        tuple(_SEED.findall(rest)),
        dict(settings),
    )
