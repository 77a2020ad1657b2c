"""What a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from db.adoption.bridges import Bridge
from db.adoption.catalog import Catalog
from db.adoption.target import Target

SPARE: Final = "_semblance"
"""What is added to a name that something of the old app still has."""

EXCLUSIVE: Final = "everybody who uses the table, for a moment"
WRITERS: Final = "writers of the table, for a moment"


@dataclass(frozen=True, slots=True)
class Dependent:
    """What needs a table, function (target) or column. kind: the catalog it is in. on, on_column: the table
    whose it is and the column that is stored by it, if any. what: it, in words."""

    target: str
    column: str
    kind: str
    on: str | None
    on_column: str | None
    what: str


@dataclass(frozen=True, slots=True)
class State:
    """What there is, read in one transaction.

    old_tables: those of the target that were there before the adoption began. rows: by table. refused: by
    table, how many rows its bridge would change. bridges: bodies of the functions that are there, by name.
    search_path: schemas of the tables and of pgvector. doubled_emails: addresses that several profiles have.
    dependents: what needs columns, tables and functions. other_names: what has a name in public that no table
    has, in words. misfits: columns, by table and name, whose values cannot have the type they need, and why.
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
