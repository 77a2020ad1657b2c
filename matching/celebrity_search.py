"""Searches of the gallery in memory, for any number of tasks of a process."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

from db.celebrities import Celebrities, CelebrityHit
from db.nearest import check_search
from db.pool import Database
from db.queries import sql
from db.retention import remove_in_steps
from matching.gallery import LOG_HOURS, Gallery, GalleryQuery, Shortlist
from semblance.errors import DatabaseError
from semblance.metrics import GALLERY_CURRENT, GALLERY_ROWS, SEARCH_SECONDS
from semblance.tracing import span
from semblance.types import Embedding, Gender
from semblance.weights import Weights

MAX_TOGETHER = 16
"""Most queries that share one pass over the gallery."""

FOLLOW_EVERY_S = 10.0
"""How often the gallery in memory is brought up to date if no search needs it."""

logger = logging.getLogger(__name__)


class CelebritySearch:
    """Searches of the galleries of any pack, which are read on first use and kept up to date.

    Queries that arrive during a pass over a gallery share the next pass. It costs little more than a pass for
    one query, because most of the time goes into reading memory.

    Args:
        folder: Where galleries are kept in files; None: nowhere.
    """

    def __init__(self, database: Database, folder: Path | None = None) -> None:
        self._database = database
        self._celebrities = Celebrities(database)
        self._folder = folder
        self._lock = asyncio.Lock()
        self._galleries: dict[str, Gallery] = {}
        self._waiting: list[_Request] = []

    async def shortlist(
        self, query: GalleryQuery, pack_digest: str, weights: Weights, threshold: float, *, look: bool = True
    ) -> Shortlist:
        """As `Gallery.shortlists`, of what is committed when the pass begins. Raises DatabaseError.

        Args:
            look: False spares a look at the log of changes if the caller takes it: see `Shortlist.seen`.
        """
        request = _Request(query, (pack_digest, weights, threshold, look))
        self._waiting.append(request)
        try:
            with span("search gallery"), SEARCH_SECONDS.timed(kind="gallery"):
                async with self._lock:
                    if request.answer is None:
                        await self._search(request.terms)
        finally:
            if request in self._waiting:
                self._waiting.remove(request)
        if request.answer is None:
            raise AssertionError("A pass answers the request that begins it.")
        return request.answer

    async def nearest(
        self,
        embedding: Embedding,
        *,
        pack_digest: str,
        limit: int = 10,
        category: str | None = None,
        gender: Gender | None = None,
    ) -> list[CelebrityHit]:
        """The `limit` people most like a face, each by the photo most like it, best first, of what is
        committed when the search begins; fewer only if fewer have a photo that passes the filters.

        Args:
            embedding: float32 [512], finite, not zero.
            pack_digest: of the pack the embedding comes from; celebrities of other packs are left out.
            limit: 1..MAX_LIMIT.

        Raises BadInputError for an embedding or limit out of bounds, PackMismatchError if the gallery has
        embeddings, but none of this pack, DatabaseError.
        """
        check_search(embedding, limit)
        wanted = limit
        while True:
            async with self._lock:
                gallery = self._gallery(pack_digest)
                near = partial(gallery.near_people, embedding, wanted, category, gender)
                listed, people = await gallery.current(near)
                _note(gallery, pack_digest)
            hits = await self._celebrities.nearest_of(
                listed, embedding, pack_digest=pack_digest, limit=limit, category=category, gender=gender
            )
            if len(hits) == limit or people < wanted:
                break
            # Some have been deleted or changed since.
            wanted *= 4
        if not hits:
            await self._celebrities.check_pack(pack_digest)
        return hits

    async def follow(self, pack_digest: str) -> None:
        """Read this pack's gallery before a search needs it, and keep it up to date until cancelled."""
        known = -1
        while True:
            try:
                rows = await self.prepare(pack_digest)
                if known < 0:
                    logger.info("photos in the gallery: %d", rows)
                known = rows
            except DatabaseError as exc:
                logger.warning("cannot read the gallery now: %s", exc.message)
            await asyncio.sleep(FOLLOW_EVERY_S)

    async def prepare(self, pack_digest: str) -> int:
        """Bring this pack's gallery up to date now, so that the next search need not wait. Returns its size.
        Raises DatabaseError."""
        async with self._lock:
            gallery = self._gallery(pack_digest)
            await gallery.refresh()
            _note(gallery, pack_digest)
            return len(gallery)

    async def prune_log(self) -> None:
        """Remove entries of the log of changes that are older than LOG_HOURS. Raises DatabaseError."""
        before = datetime.now(UTC) - timedelta(hours=LOG_HOURS)
        await remove_in_steps(self._database, sql.prune_celebrity_changes, before)

    async def _search(self, terms: _Terms) -> None:
        """One pass for the requests that wait with these terms. After an error each of them tries again."""
        pack_digest, weights, threshold, look = terms
        gallery = self._gallery(pack_digest)
        requests = [request for request in self._waiting if request.terms == terms][:MAX_TOGETHER]
        queries = [request.query for request in requests]
        search = partial(gallery.shortlists, queries, weights, threshold)
        found, seen = (await gallery.current(search), None) if look else await gallery.known(search)
        if seen is None:
            _note(gallery, pack_digest)
        for request, ids in zip(requests, found, strict=True):
            request.answer = Shortlist(ids, seen)

    def _gallery(self, pack_digest: str) -> Gallery:
        """The pack's gallery. The last two are kept: both are in use while packs change."""
        gallery = self._galleries.pop(pack_digest, None) or Gallery(self._database, pack_digest, self._folder)
        self._galleries = {**dict([*self._galleries.items()][-1:]), pack_digest: gallery}
        return gallery


def _note(gallery: Gallery, pack_digest: str) -> None:
    """Record that a gallery is up to date."""
    GALLERY_ROWS.put(len(gallery), pack=pack_digest[:12])
    GALLERY_CURRENT.put(time.time(), pack=pack_digest[:12])


_Terms: TypeAlias = tuple[str, Weights, float, bool]


@dataclass(slots=True, eq=False)
class _Request:
    query: GalleryQuery
    terms: _Terms
    answer: Shortlist | None = None
