"""The state of a database, from which a plan is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db.adoption.bridges import Bridge
from db.adoption.catalog import Catalog
from db.adoption.target import Target

SPARE: Final = "_semblance"
"""Suffix for a name that an object of the old app still has."""

EXCLUSIVE: Final = "everyone who uses the table, for a moment"
WRITERS: Final = "writers of the table, for a moment"


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object that needs a table, function (target) or column. kind: the catalog it is in. on, on_column:
    the table it belongs to and the column that it computes, if any. what: a name for people."""

    target: str
    column: str
    kind: str
    on: str | None
    on_column: str | None
    what: str


@dataclass(frozen=True, slots=True)
class State:
    """The state, read in one transaction.

    old_tables: tables of the target that existed before the adoption began. rows: number by table. refused:
    by table, how many rows its bridge would change. bridges: bodies of the existing functions, by name.
    search_path: schemas of the tables and of pgvector. doubled_emails: addresses that several profiles have.
    dependents: objects that need columns, tables or functions. other_names: kinds of the objects in public
    that are not tables, by name. misfits: columns, by table and name, whose values cannot be converted, and
    why.
    """

    catalog: Catalog
    target: Target
    old_tables: tuple[str, ...]
    rows: Mapping[str, int]
    refused: Mapping[str, int]
    wanted_bridges: Mapping[str, Bridge]
    bridges: Mapping[str, str]
    search_path: str
    doubled_emails: int
    dependents: Sequence[Dependent]
    other_names: Mapping[str, str]
    misfits: Mapping[tuple[str, str], str]
