"""Embeddings by further model packs, next to those in the rows of faces and celebrities; the pack in force.

A row's own embedding is by the pack that analyzed it. Spare ones are in separate tables, so the serving
tables keep three rows per page and their vector index while spare embeddings are added. Every search finds
the embeddings of its pack in both places, and never those of another. So a change of packs moves nothing: the
vector index of the spare embeddings is built beside, and then one row says that the new pack is in force,
by which stored faces are matched from then on. The embeddings of a pack that is dropped are removed in short
steps.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

import asyncpg
import numpy as np

from db.audit import audit
from db.copies import copy_records
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
_REPLACE = {
    "faces": sql.replace_own_face_embeddings,
    "celebrities": sql.replace_own_celebrity_embeddings,
}
_REMOVE = {
    "faces": sql.remove_spare_face_embeddings,
    "celebrities": sql.remove_spare_celebrity_embeddings,
}

STEP_SECONDS = 0.25
"""How long a step of a removal is to take: a match job of a face in it waits as long."""

MOST_ROWS = 1000
"""Rows of a step at most."""

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
    """The rows of one table by whether they have an embedding of a pack. undescribed: no embedding of any
    pack; match workers will add one of their pack."""

    undescribed: int
    embedded: int
    missing: int


class SpareEmbeddings:
    """The spare tables, and the pack in force. Every method raises DatabaseError if the database does not
    answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def in_force(self) -> str | None:
        """Digest of the pack in force; before the first switch, of the pack with the most embeddings. None
        without any."""
        digest: str | None = await self._database.fetchval(sql.pack_in_force)
        return digest

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
            await copy_records(connection, "staged_spare_embeddings", list(embeddings.items()))
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
        """Up to `limit` faces that have an embedding of both packs; None without any. Rows: TRAITS of `old`,
        then `spare`, the embedding of `new`."""
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
        """Raise ConfigurationError unless this login may switch and drop, and reaches the server itself."""
        if self._database.is_pooled:
            raise ConfigurationError(
                "Indexes are built outside of transactions, which a pooler in transaction mode does not "
                "allow: let SEMBLANCE_OWNER_DATABASE_URL name the server itself, as for migrations."
            )
        if not await self._database.fetchval(sql.may_switch):
            raise ConfigurationError(
                "Only the owner of the database changes which pack is in force: set "
                "SEMBLANCE_OWNER_DATABASE_URL to the login that migrates the database."
            )

    async def build_indexes(self, pack_digest: str) -> None:
        """Build the vector indexes of a pack's spare embeddings, unless they are there. Nobody waits for it.
        If it is interrupted, the next call begins again. Raises ConflictError while another process does it.
        """
        async with self._alone():
            # The server goes on with a build whose process was killed. To drop that index would wait for its
            # end as well, and then throw it away.
            async with self._database.transaction() as connection:
                await connection.execute(sql.wait_for_index_builds)
            for index in await self._database.fetch(sql.spare_vector_indexes, pack_digest):
                if index["valid"] is False:
                    await self._database.execute(index["remove"])
                if not index["valid"]:
                    await self._database.execute(index["make"])
            # Otherwise the planner would assume that few rows have the new digest.
            await self._database.execute(sql.analyze_spare_embeddings)

    async def switch(self, pack_digest: str, allowed_missing: int) -> dict[Table, int]:
        """Put a pack in force; returns how many rows have an embedding of it, by table. It changes one row,
        so nothing waits for it, and a statement sees the pack before or this one.

        Args:
            allowed_missing: how many rows may have no embedding of the pack. They stay with their own pack.

        Raises ConflictError if more have none, if no row has one, or if the pack is in force already.
        """
        async with self._database.transaction() as connection:
            if not await connection.fetchval(sql.hold_switch):
                raise ConflictError(_BUSY)
            if await connection.fetchval(sql.pack_in_force) == pack_digest:
                raise ConflictError(f"The pack {pack_digest[:12]} is in force already.")
            coverage = await _coverage(connection, pack_digest)
            missing = sum(part.missing for part in coverage.values())
            if missing > allowed_missing:
                raise ConflictError(
                    f"{missing:,} faces and celebrities have no embedding of this pack; nothing was switched."
                )
            embedded = {table: coverage[table].embedded for table in TABLES}
            if not any(embedded.values()):
                raise ConflictError(f"There is no embedding of the pack {pack_digest[:12]} to switch to.")
            await connection.execute(sql.put_in_force, pack_digest)
            await audit(connection, "pack.switch", pack_digest, after=embedded)
        return embedded

    async def is_indexed(self, pack_digest: str) -> bool:
        """Whether there is a vector index of the pack's spare embeddings, whole or not."""
        indexes = await self._database.fetch(sql.spare_vector_indexes, pack_digest)
        return any(index["valid"] is not None for index in indexes)

    async def drop(self, pack_digest: str, on_progress: Callable[[int], None]) -> dict[Table, int]:
        """Remove the embeddings of a pack that is not in force; returns of how many rows, by table. Where
        such an embedding is the row's own, the one of the pack in force takes its place; a row without one
        keeps its own.

        It takes short steps, each a transaction; a call after an interruption does what is left.

        Args:
            on_progress: called with the number of rows done since the last call.

        Raises ConflictError if the pack is in force.
        """
        async with self._alone():
            in_force = await self.in_force()
            if in_force == pack_digest:
                raise ConflictError(
                    f"The pack {pack_digest[:12]} is in force. Switch to another one before you drop it."
                )
            before = await self.coverage(pack_digest)
            counts = {table: before[table].embedded for table in TABLES}
            if any(counts.values()):
                async with self._database.transaction() as connection:
                    await audit(connection, "pack.drop", pack_digest, after=counts)
            dropped: dict[Table, int] = {}
            # An index may be left although no embedding is: a call was interrupted in between.
            for table in TABLES:
                dropped[table] = await self._in_steps(_REPLACE[table], (pack_digest, in_force), on_progress)
                dropped[table] += await self._in_steps(_REMOVE[table], (pack_digest,), on_progress)
            for index in await self._database.fetch(sql.spare_vector_indexes, pack_digest):
                if index["valid"] is not None:
                    await self._database.execute(index["remove"])
        return dropped

    async def _in_steps(
        self, query: str, packs: tuple[str | None, ...], on_progress: Callable[[int], None]
    ) -> int:
        """Run a query for a few rows at a time until none is left; returns how many rows it changed."""
        changed, last, size = 0, None, MOST_ROWS // 20
        while True:
            began = time.monotonic()
            row = await self._database.fetchrow(query, *packs, last, size)
            if row is None or row["last"] is None:
                return changed
            last = row["last"]
            changed += row["changed"]
            on_progress(row["changed"])
            seconds = max(time.monotonic() - began, 1e-3)
            size = min(max(int(size * min(STEP_SECONDS / seconds, 2)), 1), MOST_ROWS)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock of switches on a separate connection. The transaction has no snapshot, so that it
        keeps no index from being built and no table from being vacuumed."""
        async with self._database.transaction() as connection:
            if not await connection.fetchval(sql.hold_switch):
                raise ConflictError(_BUSY)
            await connection.execute(sql.release_snapshot)
            yield


_BUSY = "Another process is changing packs in this database. Run the command again when it is done."


async def _coverage(connection: asyncpg.Connection, pack_digest: str) -> dict[Table, PackCoverage]:
    rows = await connection.fetch(sql.count_embeddings_by_pack, pack_digest)
    return {row["table"]: PackCoverage(row["undescribed"], row["embedded"], row["missing"]) for row in rows}
