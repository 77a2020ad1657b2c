"""What a plan is made of."""

from __future__ import annotations

from collections.abc import Mapping
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
class State:
    """What there is, read in one transaction.

    old_tables: those of the target that were there before the adoption began. rows: by table. refused: by
    table, how many rows its bridge would change. bridges: bodies of the functions that are there, by name.
    search_path: schemas of the tables and of pgvector. doubled_emails: addresses that several profiles have.
    dependents: what keeps a column, by table and name, from another type.
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
    dependents: Mapping[tuple[str, str], list[str]]
