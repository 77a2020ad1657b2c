"""Search by embedding in a table with a vector index. Filters never shorten the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import numpy as np

from db.queries import sql
from semblance.earlier_packs import pack_title
from semblance.errors import BadInputError, PackMismatchError
from semblance.types import EMBEDDING_SIZE, Embedding

MAX_LIMIT = 1000
"""pgvector's upper bound of ef_search, the size of the candidate list of a search."""


_EXACT_SHARE = 0.25
"""If filters leave a smaller share of the rows, comparing all that pass is faster than a search of the graph
that is wide enough: 20,000 of 100,000 celebrities are compared in 29 ms, and a search with ef_search 1000
finds .979 of their best ten in 40 ms (benchmarks/vector_search.py)."""


@dataclass(frozen=True, slots=True)
class VectorSearch:
    """The search in one table, by its queries.

    candidates: the rows that pass; its plan estimates how many. $1 is the pack digest; the filters follow,
        each null for any.
    by_index, exact: the rows that pass, nearest first. $1 is the embedding; digest and filters follow; the
        last one is the limit.
    pack_digests: whether there are rows of the pack $1, and the digest of another pack.
    what: the rows, as the subject of an error message.
    remedy: what to do if they come from another pack.
    """

    candidates: str
    by_index: str
    exact: str
    pack_digests: str
    what: str
    remedy: str

    async def nearest(
        self,
        connection: asyncpg.Connection,
        embedding: Embedding,
        pack_digest: str,
        filters: Sequence[str | None],
        limit: int,
    ) -> list[asyncpg.Record]:
        """The `limit` rows nearest to an embedding, nearest first; fewer only if fewer pass the filters.

        Changes settings for the rest of the transaction. Raises BadInputError for an embedding or
        limit out of bounds.
        """
        check_search(embedding, limit)
        filtered = any(value is not None for value in filters)
        await connection.fetchrow(sql.tune_nearest, str(_ef_search(limit, filtered=filtered)))
        exact = filtered and await self.leaves_few(connection, pack_digest, *filters)
        arguments = (embedding, pack_digest, *filters, limit)
        rows = [] if exact else await connection.fetch(self.by_index, *arguments)
        if len(rows) < limit:
            # Few rows pass, or the search reached its bounds of work and memory.
            rows = await connection.fetch(self.exact, *arguments)
        return list(rows)

    async def leaves_few(
        self, connection: asyncpg.Connection, pack_digest: str, *filters: str | None
    ) -> bool:
        """Whether the filters leave less than _EXACT_SHARE of a pack's rows, by the planner's estimate.

        If that is wrong, the search is slower or misses a few of the best, but still returns `limit` rows.
        """
        passing = await self._estimate(connection, pack_digest, *filters)
        return passing < _EXACT_SHARE * await self._estimate(
            connection, pack_digest, *(None for _ in filters)
        )

    async def check_pack(self, connection: asyncpg.Connection, pack_digest: str) -> None:
        """Raise PackMismatchError if the table has embeddings, but none of this pack."""
        row = await connection.fetchrow(self.pack_digests, pack_digest)
        if not row["present"] and row["other"] is not None:
            raise pack_mismatch(self.what, row["other"], pack_digest, self.remedy)

    async def _estimate(self, connection: asyncpg.Connection, *arguments: str | None) -> float:
        plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {self.candidates}", *arguments))
        return float(plan[0]["Plan"]["Plan Rows"])


def _ef_search(limit: int, *, filtered: bool) -> int:
    """Size of the candidate list. Of the best ten among 100,000 embeddings 400 candidates find .979 and 600
    find .995; if a filter leaves half of them, 600 find .983 and 1000 find .995
    (benchmarks/vector_search.py)."""
    return MAX_LIMIT if filtered else min(max(600, 4 * limit), MAX_LIMIT)


def pack_mismatch(what: str, other: str, pack_digest: str, remedy: str) -> PackMismatchError:
    """The error of a search with an embedding of the pack `pack_digest` among those of another pack.

    Args:
        what: The rows searched, as the subject of a sentence.
        remedy: What to do.
    """
    return PackMismatchError(
        f"{what} was embedded by the model pack {pack_title(other)}, the face by "
        f"{pack_title(pack_digest)}: they cannot be compared. {remedy}"
    )


def check_search(embedding: Embedding, limit: int) -> None:
    """Raise BadInputError for an embedding or a limit out of bounds: 1..MAX_LIMIT."""
    if embedding.shape != (EMBEDDING_SIZE,) or not np.isfinite(embedding).all() or not embedding.any():
        raise BadInputError(f"An embedding is {EMBEDDING_SIZE} finite numbers that are not all zero.")
    if not 1 <= limit <= MAX_LIMIT:
        raise BadInputError(f"A search returns 1 to {MAX_LIMIT} faces, not {limit}.")
