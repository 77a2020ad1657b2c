"""The gallery in memory: a short list of the celebrities that may be a face's best matches, for any weights.

A celebrity here is one photo; a person with several photos counts once (`matching.ranking`).

Scoring 100,000 rows in SQL takes more than half a second. One pass over these arrays takes a twentieth of
that (benchmarks/celebrity_match.py). Embeddings are in eight bits here (`matching.quantized`): the short list
allows for what these leave out, and the database scores it again and decides.

Memory: 1 kB per celebrity, process and model pack, .6 kB where embeddings have 128 dimensions.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import GENDERS, TRAITS, Rows, read_rows, row_type
from db.pool import Database
from db.queries import sql
from matching.eligibility import may_match
from matching.quantized import QuantizedTraits
from matching.ranking import Owners, Ranking
from matching.rows import PersonNumbers, traits_of
from matching.scoring import MIN_QUALITY
from matching.traits import Floats, Places, Traits
from semblance.metrics import GALLERY_CURRENT, GALLERY_ROWS, SEARCH_SECONDS
from semblance.weights import Weights

BLOCK = 32_768
"""Celebrities in one set of arrays: what one pass of the engine takes."""

MAX_TOGETHER = 16
"""Most queries that share one pass over the gallery."""

LOG_HOURS = 24
"""How long the log of changes is kept. A gallery that has not been refreshed for half as long is read again
from the start."""

_ROW = row_type(*TRAITS, ("category", "V16"), ("person", "V16"))


@dataclass(frozen=True, slots=True, eq=False)
class GalleryQuery:
    """A face that looks for celebrities.

    row: the columns that the factors compare. gender: what its user states; None: celebrities of all genders
    match. category: only celebrities of this category match; None: those of all.
    """

    row: Mapping[str, Any]
    gender: str | None
    category: str | None = None


class _Block:
    """BLOCK places for celebrities.

    fit: whether a place holds one of sufficient quality for a match. person: the number of the celebrity's
    person; an empty place has a negative number that no other place of the block has.
    """

    def __init__(self) -> None:
        self.traits = QuantizedTraits.empty(BLOCK)
        self.ids = np.zeros(BLOCK, "V16")
        self.fit = np.zeros(BLOCK, bool)
        self.gender = np.zeros(BLOCK, np.int8)
        self.category = np.zeros(BLOCK, "V16")
        self.person = -1 - np.arange(BLOCK)
        self._owners: Owners | None = None

    @property
    def owners(self) -> Owners:
        """Whose the celebrities of the block are."""
        if self._owners is None:
            self._owners = Owners.of(self.person)
        return self._owners

    def write(self, places: Places, rows: Rows, person: NDArray[np.int64]) -> None:
        self.traits.put(places, QuantizedTraits.of(traits_of(rows)))
        self.ids[places] = rows["id"]
        self.fit[places] = rows["quality"] >= MIN_QUALITY
        self.gender[places] = rows["gender"]
        self.category[places] = rows["category"]
        self.person[places] = person
        self._owners = None

    def remove(self, place: int) -> None:
        self.fit[place] = False
        self.person[place] = -1 - place
        self._owners = None

    def eligible(self, queries: Sequence[GalleryQuery]) -> NDArray[np.bool_]:
        """Which celebrities each query may find, [queries, BLOCK]."""
        stated = np.array([GENDERS[query.gender] for query in queries], np.int8)
        mask: NDArray[np.bool_] = self.fit & may_match(stated[:, None], self.gender)
        for number, query in enumerate(queries):
            if query.category is not None:
                digest = hashlib.md5(query.category.encode(), usedforsecurity=False).digest()
                mask[number] &= self.category == np.void(digest)
        return mask


class Gallery:
    """The celebrities of one model pack. Only one task may use it at a time."""

    def __init__(self, database: Database, pack_digest: str) -> None:
        self._database = database
        self._pack_digest = pack_digest
        self._blocks: list[_Block] = []
        self._places: dict[bytes, int] = {}
        self._free: list[int] = []
        self._people = PersonNumbers()
        self._snapshot: str | None = None
        self._looked_at = 0.0

    def __len__(self) -> int:
        return len(self._places)

    async def refresh(self) -> None:
        """Apply all changes committed so far. The first call reads the whole gallery.

        Raises DatabaseError. The next call then does what this one could not.
        """
        now = time.monotonic()
        if self._snapshot is None or now - self._looked_at > LOG_HOURS * 3600 / 2:
            # A change committed between this statement and the read is applied twice, which does no harm.
            snapshot = await self._database.fetchval(sql.gallery_snapshot)
            self._blocks, self._places, self._free = [], {}, []
            self._snapshot = None
            await self._read(None)
        else:
            row = await self._database.fetchrow(sql.gallery_changes, self._snapshot)
            if row is None:
                return
            snapshot = row["snapshot"]
            if row["changed"]:
                await self._read(row["changed"])
        self._snapshot, self._looked_at = snapshot, now

    def shortlists(
        self, queries: Sequence[GalleryQuery], weights: Weights, threshold: float
    ) -> list[list[UUID]]:
        """For each query all celebrities that may be among its best: that score at least `threshold`, at
        least what the person in place BEST does, and no less than another photo of the same person, with
        allowance for rounding."""
        ranking = Ranking(Traits.of([query.row for query in queries], np.float32), weights, threshold)
        for number, block in enumerate(self._blocks):
            ranking.add(block.traits, number * BLOCK, block.eligible(queries), block.owners)
        found = ranking.near_best(self._traits)
        return [
            [self._id(int(place)) for place in found.target[found.probe == number]]
            for number in range(len(queries))
        ]

    def _id(self, place: int) -> UUID:
        return UUID(bytes=bytes(self._blocks[place // BLOCK].ids[place % BLOCK]))

    def _traits(self, places: Places) -> tuple[Traits, Floats]:
        """The celebrities at these places, and how far their embeddings may be from the true ones."""
        found = QuantizedTraits.empty(len(places))
        for number, chosen in _by_block(places):
            found.put(chosen, self._blocks[number].traits.take(places[chosen] % BLOCK))
        return found.traits(), found.codes.error

    async def _read(self, ids: list[UUID] | None) -> None:
        """Read these celebrities, or all if `ids` is None. Those of `ids` that are not found are removed."""
        found: list[Rows] = []
        take = self._write if ids is None else found.append
        async with self._database.transaction(readonly=True) as connection:
            await read_rows(connection, sql.read_gallery, self._pack_digest, ids, row=_ROW, take=take)
        for rows in found:
            self._write(rows)
        if ids is not None:
            present = {bytes(key) for rows in found for key in rows["id"]}
            for gone in {key.bytes for key in ids} - present:
                self._remove(gone)

    def _write(self, rows: Rows) -> None:
        places = np.fromiter((self._place(bytes(key)) for key in rows["id"]), np.intp, len(rows))
        person = self._people.of(rows["person"])
        for number, chosen in _by_block(places):
            self._blocks[number].write(places[chosen] % BLOCK, rows[chosen], person[chosen])

    def _place(self, key: bytes) -> int:
        place = self._places.get(key)
        if place is None:
            if not self._free:
                start = len(self._blocks) * BLOCK
                self._blocks.append(_Block())
                self._free = list(range(start + BLOCK - 1, start - 1, -1))
            place = self._places[key] = self._free.pop()
        return place

    def _remove(self, key: bytes) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            self._blocks[place // BLOCK].remove(place % BLOCK)
            self._free.append(place)


def _by_block(places: Places) -> Iterator[tuple[int, Places]]:
    """The block of places of a gallery, and which of them are in it."""
    blocks = places // BLOCK
    for number in np.unique(blocks):
        yield int(number), np.flatnonzero(blocks == number)


class CelebritySearch:
    """Short lists for faces of any pack. Galleries are read on first use and kept up to date.

    Queries that arrive during a pass over a gallery share the next pass. It costs little more than a pass for
    one query, because most of the time goes into reading memory.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = asyncio.Lock()
        self._galleries: dict[str, Gallery] = {}
        self._waiting: list[_Request] = []

    async def shortlist(
        self, query: GalleryQuery, pack_digest: str, weights: Weights, threshold: float
    ) -> list[UUID]:
        """As `Gallery.shortlists`, of what is committed when the pass begins. Raises DatabaseError."""
        request = _Request(query, (pack_digest, weights, threshold))
        self._waiting.append(request)
        try:
            with SEARCH_SECONDS.timed(kind="gallery"):
                async with self._lock:
                    if request.answer is None:
                        await self._search(request.terms)
        finally:
            if request in self._waiting:
                self._waiting.remove(request)
        return request.answer or []

    async def prepare(self, pack_digest: str) -> int:
        """Bring this pack's gallery up to date now, so that the next search need not wait. Returns its size.
        Raises DatabaseError."""
        async with self._lock:
            return len(await self._refreshed(pack_digest))

    async def prune_log(self) -> None:
        """Remove entries of the log of changes that are older than LOG_HOURS. Raises DatabaseError."""
        await self._database.execute(
            sql.prune_celebrity_changes, datetime.now(UTC) - timedelta(hours=LOG_HOURS)
        )

    async def _search(self, terms: _Terms) -> None:
        """One pass for the requests that wait with these terms. After an error each of them tries again."""
        pack_digest, weights, threshold = terms
        gallery = await self._refreshed(pack_digest)
        requests = [request for request in self._waiting if request.terms == terms][:MAX_TOGETHER]
        queries = [request.query for request in requests]
        found = await asyncio.to_thread(gallery.shortlists, queries, weights, threshold)
        for request, ids in zip(requests, found, strict=True):
            request.answer = ids

    async def _refreshed(self, pack_digest: str) -> Gallery:
        """The pack's gallery, up to date. The last two are kept: both are in use while packs change."""
        gallery = self._galleries.pop(pack_digest, None) or Gallery(self._database, pack_digest)
        self._galleries = {**dict([*self._galleries.items()][-1:]), pack_digest: gallery}
        await gallery.refresh()
        GALLERY_ROWS.put(len(gallery), pack=pack_digest[:12])
        GALLERY_CURRENT.put(time.time(), pack=pack_digest[:12])
        return gallery


_Terms: TypeAlias = tuple[str, Weights, float]


@dataclass(slots=True, eq=False)
class _Request:
    query: GalleryQuery
    terms: _Terms
    answer: list[UUID] | None = None
