"""The contents of the schema `public`, read from the catalogs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import psycopg
from psycopg.rows import class_row

from db.queries import load_queries

QUERIES = load_queries(Path(__file__).with_name("sql"))


@dataclass(frozen=True, slots=True)
class Relation:
    """A table (kind r), view (v) or sequence (S). number: later ones may refer to earlier ones. is_own:
    whether the login has its owner's rights. definition: of a view. owned_by: table and column of a
    sequence."""

    name: str
    kind: str
    number: int
    row_security: bool
    forces_row_security: bool
    is_own: bool
    options: str
    definition: str
    owned_by: str | None
    is_identity: bool


@dataclass(frozen=True, slots=True)
class Column:
    """category, storage, type_storage, identity: as in pg_type and pg_attribute. generated: what a stored
    column is made of, None for others."""

    table: str
    name: str
    type: str
    category: str
    default: str | None
    generated: str | None
    not_null: bool
    storage: str
    type_storage: str
    identity: str


@dataclass(frozen=True, slots=True)
class Constraint:
    """kind: p, u, f or c. expression: of a CHECK. refers_to: table of a foreign key, else empty."""

    table: str
    name: str
    kind: str
    definition: str
    expression: str
    columns: list[str]
    refers_to: str
    validated: bool


@dataclass(frozen=True, slots=True)
class Index:
    """An index that belongs to no constraint. definition: without its name. columns: without expressions."""

    table: str
    name: str
    definition: str
    is_unique: bool
    valid: bool
    columns: list[str]

    def create(self, name: str) -> str:
        """The statement that builds it under this name while others write."""
        head, _, rest = self.definition.partition("INDEX ON ")
        return f"{head}INDEX CONCURRENTLY {name} ON {rest}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """function: its signature. source: the function's body."""

    table: str
    name: str
    definition: str
    function: str
    source: str


@dataclass(frozen=True, slots=True)
class Function:
    """number: as of a Relation."""

    signature: str
    name: str
    definition: str
    result: str
    arguments: str
    is_trigger: bool
    number: int


@dataclass(frozen=True, slots=True)
class Policy:
    """restricts: whether it is restrictive, so that it must hold in addition to the others. definition: the
    statement that creates it."""

    table: str
    name: str
    roles: list[str]
    restricts: bool
    definition: str

    @property
    def is_for_service(self) -> bool:
        return self.roles == ["semblance_service"]


@dataclass(frozen=True, slots=True)
class Grant:
    """kind: TABLE, SEQUENCE, FUNCTION or SCHEMA. column: None for the whole."""

    kind: str
    name: str
    column: str | None
    grantee: str
    privilege: str


class _OfTable(Protocol):
    @property
    def table(self) -> str: ...

    @property
    def name(self) -> str: ...


_T = TypeVar("_T", bound=_OfTable)

Tables = Mapping[str, Mapping[str, _T]]
"""Objects by table and name."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """All objects by name; those of tables by table and name."""

    relations: Mapping[str, Relation]
    columns: Tables[Column]
    constraints: Tables[Constraint]
    indexes: Tables[Index]
    triggers: Tables[Trigger]
    functions: Mapping[str, Function]
    policies: Tables[Policy]
    grants: Mapping[tuple[str, str], frozenset[Grant]]

    @property
    def tables(self) -> list[str]:
        return [relation.name for relation in self.relations.values() if relation.kind in {"r", "p"}]

    def granted(self, kind: str, name: str) -> frozenset[Grant]:
        return self.grants.get((kind, name), frozenset())


def read_catalog(connection: psycopg.Connection) -> Catalog:
    """Read `public` as it is in this transaction, whose search_path this sets. Raises psycopg.Error."""
    set_search_path(connection)
    grants: dict[tuple[str, str], set[Grant]] = defaultdict(set)
    for grant in _rows(connection, Grant, "grants"):
        grants[grant.kind, grant.name].add(grant)
    return Catalog(
        relations={row.name: row for row in _rows(connection, Relation, "relations")},
        columns=_by_table(_rows(connection, Column, "columns")),
        constraints=_by_table(_rows(connection, Constraint, "constraints")),
        indexes=_by_table(_rows(connection, Index, "indexes")),
        triggers=_by_table(_rows(connection, Trigger, "triggers")),
        functions={row.signature: row for row in _rows(connection, Function, "functions")},
        policies=_by_table(_rows(connection, Policy, "policies")),
        grants={key: frozenset(found) for key, found in grants.items()},
    )


def set_search_path(connection: psycopg.Connection, *, session: bool = False) -> None:
    """Search names in public and in pgvector's schema, in this transaction or for the whole session."""
    connection.execute(QUERIES["search_path"], {"session": session})


_Row = TypeVar("_Row")


def _rows(connection: psycopg.Connection, kind: type[_Row], query: str) -> list[_Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(QUERIES[query]).fetchall()


def _by_table(rows: Iterable[_T]) -> dict[str, dict[str, _T]]:
    found: dict[str, dict[str, _T]] = defaultdict(dict)
    for row in rows:
        found[row.table][row.name] = row
    return found
