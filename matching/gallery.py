"""The gallery in memory: a short list of the celebrities that may be a face's best matches, for any weights.

A celebrity here is one photo; a person with several photos counts once (`matching.ranking`).

Scoring 100,000 rows in SQL takes more than half a second. One pass over these arrays takes a twentieth of
that (benchmarks/celebrity_match.py). Embeddings are in eight bits here (`matching.quantized`): the short list
allows for what these leave out, and the database scores it again and decides.

It is kept in a file, which all processes of a machine that search map into their memory, and which makes them
ready at once when they start. Memory per celebrity and model pack: 630 bytes, 250 where embeddings have 128
dimensions, once a machine.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import GENDERS, TRAITS, Rows, read_rows, row_type
from db.migrate import MIGRATIONS
from db.pool import Database, Record
from db.queries import sql
from matching.gallery_arrays import Block, GalleryArrays
from matching.gallery_file import UnusableFileError, mapped
from matching.nearest import near_people
from matching.ranking import RankedPairs, Ranking
from matching.scoring import MIN_QUALITY
from matching.traits import Floats, Places, Traits
from semblance.threads import in_thread_to_the_end
from semblance.types import Embedding, Gender
from semblance.weights import Weights

LOG_HOURS = 24
"""How long the log of changes is kept. A gallery that has not been refreshed for half as long is read again
from the start."""

SAVE_HOURS = 6
SAVE_CHANGES = 1000
"""The file is written again when it is so old, or when more celebrities have changed since than this and a
tenth of all."""

T = TypeVar("T")

logger = logging.getLogger(__name__)

ROW = row_type(*TRAITS, ("category", "V16"), ("person", "V16"))
"""A celebrity, as the database sends it."""


@dataclass(frozen=True, slots=True, eq=False)
class GalleryQuery:
    """A face that looks for celebrities.

    row: the columns that the factors compare. gender: what its user states; None: celebrities of all genders
    match. category: only celebrities of this category match; None: those of all.
    """

    row: Mapping[str, Any]
    gender: str | None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Up to where the log of changes has been read. snapshot: PostgreSQL's. last: the last entry it sees.
    history: of the server, which is another one once it was restored or replaced. server: tells a server
    that was started again, or a table that was made again; "" for a position from a file, until the log is
    looked at again."""

    snapshot: str
    last: int
    history: str
    server: str = ""


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Celebrities that may be among a face's best.

    seen: up to where the log of the gallery's changes had been read, if the search has not looked whether
    there is more since; None if it has.
    """

    ids: Sequence[UUID]
    seen: LogPosition | None = None


class Gallery:
    """The celebrities of one model pack. Only one task may use it at a time.

    Args:
        folder: Where its file is kept; None: nowhere.
    """

    def __init__(self, database: Database, pack_digest: str, folder: Path | None = None) -> None:
        self._database = database
        self._pack_digest = pack_digest
        self._path = None if folder is None else folder / f"{pack_digest}.gallery"
        self._arrays = GalleryArrays()
        self._seen: LogPosition | None = None
        self._looked_at = 0.0
        # Whether the last look found changes.
        self._moving = True
        # When the file was up to date, and how many celebrities have changed since.
        self._saved_at = -inf
        self._changed = 0

    def __len__(self) -> int:
        return len(self._arrays)

    async def refresh(self) -> None:
        """Apply all changes committed so far. The first call maps the file, or reads the whole gallery if no
        file can be used.

        Raises DatabaseError. The next call then does what this one could not.
        """
        now = time.time()
        if self._path is not None and (self._seen is None or self._is_due(now)):
            # Another process may have written the file since.
            await in_thread_to_the_end(self._open, self._path)
        if now - self._looked_at > _longest_gap():
            self._seen = None
        await self._follow(await self._look(), now)

    @property
    def rests(self) -> bool:
        """Whether it is likely that nothing has changed: the last look at the log found no changes, was not
        long ago, and the file need not be written."""
        now = time.time()
        due = self._path is not None and self._is_due(now)
        late = now - self._looked_at > _longest_gap()
        return self._seen is not None and not (self._moving or due or late)

    async def current(self, search: Callable[[], T]) -> T:
        """What a search of the celebrities finds in a thread, as they are at a refresh after this call.

        While the gallery rests, the search does not wait for the refresh. If that finds changes after all, it
        is repeated. Raises DatabaseError.
        """
        if not self.rests:
            await self.refresh()
            return await in_thread_to_the_end(search)
        now = time.time()
        looking = asyncio.create_task(self._look())
        try:
            found = await in_thread_to_the_end(search)
            row = await looking
        finally:
            looking.cancel()
        await self._follow(row, now)
        return await in_thread_to_the_end(search) if self._moving else found

    async def _follow(self, row: Record, now: float) -> None:
        """Apply what a look at `now` found."""
        if self._seen is not None and (row["set_back"] or row["history"] != self._seen.history):
            logger.warning("reading the gallery again: the database has been restored or is another one")
            self._seen = None
            row = await self._look()
        self._moving = self._seen is None or bool(row["changed"])
        if self._seen is None:
            # A change committed between that statement and the read is applied twice, which does no harm.
            self._arrays, self._saved_at = GalleryArrays(), -inf
            await self._read(None)
        elif row["changed"]:
            await self._read(row["changed"])
            self._changed += len(row["changed"])
        self._seen, self._looked_at = (
            LogPosition(row["snapshot"], row["last"], row["history"], row["server"]),
            now,
        )
        if self._path is not None and self._is_due(now):
            await in_thread_to_the_end(self._save, self._path)

    @property
    def position(self) -> LogPosition:
        """Up to where the log of changes had been read at the last refresh."""
        if self._seen is None:
            raise AssertionError("The gallery has not been read.")
        return self._seen

    @property
    def arrays(self) -> GalleryArrays:
        """The celebrities, as they were at the last refresh."""
        return self._arrays

    async def known(self, search: Callable[[], T]) -> tuple[T, LogPosition | None]:
        """As `current`, but without a look at the log while the gallery rests. Then it also returns up to
        where the log had been read, and what uses the result has to look whether there is more."""
        if not self.rests:
            return await self.current(search), None
        return await in_thread_to_the_end(search), self.position

    def shortlists(
        self, queries: Sequence[GalleryQuery], weights: Weights, threshold: float
    ) -> list[list[UUID]]:
        """As the function of this name, of the celebrities as they were at the last refresh."""
        return shortlists(self._arrays, queries, weights, threshold)

    def near_people(
        self, embedding: Embedding, limit: int, category: str | None, gender: Gender | None
    ) -> tuple[list[UUID], int]:
        """Photos of whom may be among the `limit` people most like a face by the embedding alone, of any
        quality, and of how many people they are. If these are fewer than `limit`, nobody else passes the
        filters; None passes all."""
        places, people = near_people(
            embedding, self._arrays.blocks, lambda block: _passing(block, category, gender), limit
        )
        return [self._arrays.id_at(place) for place in places.tolist()], people

    async def _read(self, ids: list[UUID] | None) -> None:
        """Read these celebrities, or all if `ids` is None. Those of `ids` that are not found are removed."""
        found: list[Rows] = []
        take = self._arrays.write if ids is None else found.append
        async with self._database.transaction(readonly=True) as connection:
            await read_rows(connection, sql.read_gallery, self._pack_digest, ids, row=ROW, take=take)
        for rows in found:
            self._arrays.write(rows)
        if ids is not None:
            present = {bytes(key) for rows in found for key in rows["id"]}
            self._arrays.remove([key for key in ids if key.bytes not in present])

    async def _look(self) -> Record:
        """What has changed since the last look, if there was one, and up to where the log has been read."""
        seen = (None, None) if self._seen is None else (self._seen.snapshot, self._seen.last)
        row = await self._database.fetchrow(sql.gallery_changes, *seen)
        if row is None:
            raise AssertionError("A query without FROM has one row.")
        return row

    def _source(self) -> dict[str, Any]:
        """What a file must have been made from to be of use: this pack, as this version reads it. Of which
        database it is, the next look tells."""
        return {
            "migrations": len(MIGRATIONS),
            "min_quality": MIN_QUALITY,
            "genders": len(GENDERS),
            "pack_digest": self._pack_digest,
        }

    def _open(self, path: Path) -> None:
        """Go on with the file, if it can be used and is newer than what is there."""
        try:
            about, columns = mapped(path)
        except FileNotFoundError:
            return
        except (OSError, UnusableFileError) as exc:
            logger.warning("reading the gallery from the database: %s", exc)
            return
        # First of all whether another version wrote it, which may have said other things.
        if about["source"] != self._source() or about["looked_at"] <= self._saved_at:
            return
        seen, age = LogPosition(**about["seen"]), time.time() - about["looked_at"]
        elsewhere = self._seen is not None and seen.history != self._seen.history
        if not elsewhere and 0 <= age < _longest_gap():
            self._arrays = GalleryArrays(columns)
            self._seen, self._looked_at = seen, about["looked_at"]
            self._saved_at, self._changed = self._looked_at, 0

    def _is_due(self, now: float) -> bool:
        return now - self._saved_at > SAVE_HOURS * 3600 or self._changed > max(SAVE_CHANGES, len(self) // 10)

    def _save(self, path: Path) -> None:
        """Write the file, and go on with it in place of the arrays in memory."""
        self._saved_at, self._changed = self._looked_at, 0
        if self._seen is None:
            raise AssertionError("Nothing has been read that could be written.")
        # Without the server: who opens the file looks at the log anyway, and earlier versions know no such
        # key.
        seen = {name: value for name, value in asdict(self._seen).items() if name != "server"}
        about = {"source": self._source(), "seen": seen, "looked_at": self._looked_at}
        try:
            self._arrays.save(path, about)
            _remove_old_files(path.parent)
            _, columns = mapped(path)
        except (OSError, UnusableFileError) as exc:
            logger.warning("cannot keep the gallery in a file: %s", exc)
        else:
            self._arrays = GalleryArrays(columns)


def _longest_gap() -> float:
    """Seconds between two looks after which the log may lack changes."""
    return LOG_HOURS * 3600 / 2


def shortlists(
    arrays: GalleryArrays, queries: Sequence[GalleryQuery], weights: Weights, threshold: float
) -> list[list[UUID]]:
    """For each query all celebrities that may be among its best: that score at least `threshold`, at least
    what the person in place BEST does, and no less than another photo of the same person, with allowance for
    rounding."""
    listed: list[list[UUID]] = [[] for _ in queries]
    # Those who look for the same genders pass over the others.
    for gender in {query.gender for query in queries}:
        some = [number for number, query in enumerate(queries) if query.gender == gender]
        found = _near_best(arrays, [queries[number] for number in some], weights, threshold)
        for probe, place in zip(found.probe.tolist(), found.target.tolist(), strict=True):
            listed[some[probe]].append(arrays.id_at(place))
    return listed


def _near_best(
    arrays: GalleryArrays, queries: Sequence[GalleryQuery], weights: Weights, threshold: float
) -> RankedPairs:
    ranking = Ranking(Traits.of([query.row for query in queries], np.float32), weights, threshold)
    for number, block in enumerate(arrays.blocks):
        ranking.add(block.traits, number * len(block.fit), _eligible(block, queries), block.owners)

    def celebrities_at(places: Places) -> tuple[Traits, Floats]:
        found = arrays.take(places)
        return found.traits(), found.codes.error

    return ranking.near_best(celebrities_at)


def _remove_old_files(folder: Path) -> None:
    """Remove files that nobody can use any more: those of earlier packs, and what killed writers left."""
    for path in folder.glob("*.gallery*"):
        if path.stat().st_mtime < time.time() - LOG_HOURS * 3600:
            path.unlink(missing_ok=True)


def _eligible(block: Block, queries: Sequence[GalleryQuery]) -> NDArray[np.bool_]:
    """Which celebrities of a block each query may find, [queries, BLOCK]."""
    masks = []
    for query in queries:
        mask = block.matching(GENDERS[query.gender])
        masks.append(mask if query.category is None else mask & _of_category(block, query.category))
    return masks[0][None] if len(masks) == 1 else np.stack(masks)


def _passing(block: Block, category: str | None, gender: Gender | None) -> NDArray[np.bool_]:
    """Which places of a block may hold celebrities of this category and gender, as stated, else as seen."""
    mask = np.ones(len(block.fit), bool) if gender is None else block.gender == GENDERS[gender]
    return mask if category is None else mask & _of_category(block, category)


def _of_category(block: Block, category: str) -> NDArray[np.bool_]:
    digest = hashlib.md5(category.encode(), usedforsecurity=False).digest()
    found: NDArray[np.bool_] = block.category == np.void(digest)
    return found
