"""What the database says of itself: its versions, and what takes its room."""

from __future__ import annotations

from dataclasses import dataclass

from db.pool import Database
from db.queries import sql


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """The database as a whole. postgres, pgvector: versions. revision: of the schema; None if the database
    was not migrated."""

    bytes: int
    postgres: str
    pgvector: str | None
    revision: str | None


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table. rows: as the server estimates them. bytes: without its indexes."""

    name: str
    rows: int
    bytes: int
    index_bytes: int


@dataclass(frozen=True, slots=True)
class IndexSize:
    """An index. scans: how often the server has used it since its statistics began."""

    name: str
    table_name: str
    bytes: int
    scans: int


class DatabaseStatistics:
    """Reads the catalog. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self) -> DatabaseFacts:
        """The database as a whole."""
        [row] = await self._database.fetch(sql.database_facts)
        return DatabaseFacts(**row)

    async def largest_tables(self, limit: int) -> list[TableSize]:
        """The largest tables with their indexes, the largest first."""
        return [TableSize(**row) for row in await self._database.fetch(sql.largest_tables, limit)]

    async def largest_indexes(self, limit: int) -> list[IndexSize]:
        """The largest indexes, the largest first."""
        return [IndexSize(**row) for row in await self._database.fetch(sql.largest_indexes, limit)]
