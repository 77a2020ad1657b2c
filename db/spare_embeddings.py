"""Embeddings of a second model pack, stored next to those that serve, and the switch between the two.

They are in separate tables, not in further columns of the tables that serve. So the serving tables keep three
rows per page and their vector index while spare embeddings are added, searches cost no more, and dropping
spare embeddings only deletes rows. A switch swaps the two, so the old embeddings become the spare ones and a
second switch undoes the first. It touches every row and the vector index. A pointer to "the pack that serves"
would avoid that, but then every search would have to choose between two tables, for an operation that is
needed once a year.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

import asyncpg
import numpy as np

from db.audit import audit
from db.copy_arrays import TRAITS, Rows, read_rows, row_type
from db.pool import Database
from db.queries import sql
from semblance.errors import ConfigurationError, ConflictError
from semblance.types import Embedding

Table: TypeAlias = Literal["faces", "celebrities"]

TABLES: tuple[Table, ...] = ("faces", "celebrities")

_PENDING = {"faces": sql.faces_to_reembed, "celebrities": sql.celebrities_to_reembed}
_MERGE = {
    "faces": sql.merge_spare_face_embeddings,
    "celebrities": sql.merge_spare_celebrity_embeddings,
}
_SWITCH = {"faces": sql.switch_faces, "celebrities": sql.switch_celebrities}

SWITCH_ROWS = 500
"""Rows of one statement of a switch. It takes a second, or several on a busy machine, most of it for the
vector index; servers may end a statement after a minute."""

_MERGE_ATTEMPTS = 5

_TWO_PACKS = row_type(*TRAITS, ("spare", dict(TRAITS)["embedding"]))


@dataclass(frozen=True, slots=True)
class Pending:
    """A row that has only an embedding of another pack. landmarks_68: as stored, of the embedded face, in
    pixels of the upright picture."""

    id: UUID
    image_path: str
    landmarks_68: list[list[float]] | None


@dataclass(frozen=True, slots=True)
class PackCoverage:
    """The rows of one table by their embedding of a pack: it serves, is spare, or is missing. undescribed: no
    embedding of any pack; match workers will add one of their pack."""

    undescribed: int
    serving: int
    spare: int
    missing: int


class SpareEmbeddings:
    """The spare tables. Every method raises DatabaseError if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def packs_in_use(self) -> list[str]:
        """Digests of the packs whose embeddings serve, the most frequent first."""
        return [row["pack_digest"] for row in await self._database.fetch(sql.packs_in_use)]

    async def coverage(self, pack_digest: str) -> dict[Table, PackCoverage]:
        """How many rows have an embedding of the pack, by table."""
        async with self._database.transaction(readonly=True) as connection:
            return await _coverage(connection, pack_digest)

    async def pending(self, table: Table, pack_digest: str, after: UUID | None, limit: int) -> list[Pending]:
        """Rows without an embedding of the pack, in the order of their ids, beginning after `after`."""
        rows = await self._database.fetch(_PENDING[table], pack_digest, after, limit)
        return [Pending(**row) for row in rows]

    async def add(self, table: Table, embeddings: Mapping[UUID, Embedding], pack_digest: str) -> None:
        """Store spare embeddings, float32 [512] of unit length, of rows that still exist; stored ones stay.
        All or none, and safe to repeat."""
        async with self._database.transaction() as connection:
            await connection.execute(sql.stage_spare_embeddings)
            await connection.copy_records_to_table(
                "staged_spare_embeddings", records=list(embeddings.items()), schema_name="pg_temp"
            )
            for attempt in range(1, _MERGE_ATTEMPTS + 1):
                try:
                    async with connection.transaction():
                        await connection.execute(_MERGE[table], pack_digest)
                except asyncpg.ForeignKeyViolationError:
                    # A row was deleted in the meantime, and will not be found the next time.
                    if attempt == _MERGE_ATTEMPTS:
                        raise
                else:
                    return

    async def sample(self, old: str, new: str, limit: int) -> Rows | None:
        """Up to `limit` faces that the pack `old` serves and that have a spare embedding of `new`; None
        without any. Rows: TRAITS, then `spare`."""
        found: list[Rows] = []
        async with self._database.transaction(readonly=True) as connection:
            await read_rows(
                connection,
                sql.sample_faces_of_two_packs,
                old,
                new,
                limit,
                row=_TWO_PACKS,
                take=found.append,
            )
        return np.concatenate(found) if found else None

    async def gallery(self, old: str, new: str, min_quality: float, take: Callable[[Rows], None]) -> None:
        """Pass to `take`, some at a time, the celebrities of at least this quality that have both embeddings,
        as rows of `sample`."""
        async with self._database.transaction(readonly=True) as connection:
            await read_rows(
                connection, sql.gallery_of_two_packs, old, new, min_quality, row=_TWO_PACKS, take=take
            )

    async def check_owner(self) -> None:
        """Raise ConfigurationError unless this login may switch."""
        if not await self._database.fetchval(sql.may_switch):
            raise ConfigurationError(
                "A switch changes the gallery, which the application may only read: set "
                "SEMBLANCE_OWNER_DATABASE_URL to the login that migrates the database."
            )

    async def switch(
        self, pack_digest: str, allowed_missing: int, on_progress: Callable[[int], None]
    ) -> dict[Table, int]:
        """Swap what serves with the spare embeddings of a pack, in one transaction; returns how many rows
        were switched, by table.

        Readers see all of it or nothing. Writers are not blocked: rows that are added meanwhile keep the pack
        that made them. Each row is locked from its turn to the end, so the celebrities, which nothing else
        changes, come before the faces, which match jobs wait for.

        Args:
            allowed_missing: how many rows without an embedding of the pack may stay unchanged.
            on_progress: called with the number of rows done since the last call.

        Raises ConflictError if more are missing, or if there is nothing to switch to.
        """
        async with self._database.transaction() as connection:
            await connection.execute(sql.lock_switch)
            coverage = await _coverage(connection, pack_digest)
            missing = sum(part.missing for part in coverage.values())
            if missing > allowed_missing:
                raise ConflictError(
                    f"{missing:,} faces and celebrities have no embedding of this pack; nothing was switched."
                )
            if not any(part.spare for part in coverage.values()):
                raise ConflictError("No spare embedding of this pack is left to switch to.")
            switched: dict[Table, int] = {}
            for table in reversed(TABLES):
                switched[table] = await _switch(connection, table, pack_digest, on_progress)
            # Otherwise the planner would assume that no row has the new digest.
            await connection.execute(sql.analyze_celebrities)
            await audit(connection, "pack.switch", pack_digest, after=switched)
        return switched

    async def drop(self, pack_digest: str) -> dict[Table, int]:
        """Remove the spare embeddings of a pack; returns how many, by table."""
        async with self._database.transaction() as connection:
            row = await connection.fetchrow(sql.drop_spare_embeddings, pack_digest)
            dropped: dict[Table, int] = {table: row[table] for table in TABLES}
            if any(dropped.values()):
                await audit(connection, "pack.drop_spare", pack_digest, after=dropped)
        return dropped


async def _coverage(connection: asyncpg.Connection, pack_digest: str) -> dict[Table, PackCoverage]:
    rows = await connection.fetch(sql.count_spare_embeddings, pack_digest)
    return {
        row["table"]: PackCoverage(row["undescribed"], row["serving"], row["spare"], row["missing"])
        for row in rows
    }


async def _switch(
    connection: asyncpg.Connection, table: Table, pack_digest: str, on_progress: Callable[[int], None]
) -> int:
    switched, last = 0, None
    while True:
        row = await connection.fetchrow(_SWITCH[table], pack_digest, last, SWITCH_ROWS)
        if row["last"] is None:
            return switched
        last = row["last"]
        if row["switched"]:
            switched += row["switched"]
            on_progress(row["switched"])
