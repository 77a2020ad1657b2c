"""Faces whose stored matches are what a search for celebrities would find, because nothing has changed.

A search depends on the face, the rules and the gallery. A rematch notes what these were when it left a face
with the matches it had found. The next one passes over the face if all three are the same, and the stored
matches too.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.migrate import MIGRATIONS
from db.pool import Database, Record
from db.queries import sql
from matching.gallery import LOG_HOURS, LogPosition
from matching.rematch import ShardFaces
from matching.scoring import BEST, MIN_QUALITY
from matching.store import MatchRules


class SettledFaces:
    """Every method raises DatabaseError if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def generation(
        self, pack_digest: str, rules: MatchRules, gallery: LogPosition, *, dry_run: bool
    ) -> int | None:
        """The number that stands for these rules and the gallery as it was read at this position: a new one,
        unless both are what they were for the last. A dry run writes none and then returns None."""
        terms = {
            "weights": rules.weights.as_dict(),
            "threshold": rules.threshold,
            "best": BEST,
            "min_quality": MIN_QUALITY,
            # The functions that score are in the database.
            "migrations": len(MIGRATIONS),
        }
        last = await self._database.fetchrow(sql.match_generation, pack_digest, terms, LOG_HOURS // 2)
        if last is not None:
            then = LogPosition(last["snapshot"], last["last_change"], last["history"])
            # Both are compared with now: of two positions, nothing tells which one is later.
            now = await self._look(then)
            if now is not None and await self._look(gallery) is not None:
                if not dry_run:
                    place = (now["snapshot"], now["last"], now["history"])
                    await self._database.execute(
                        sql.extend_match_generation, pack_digest, last["generation"], *place
                    )
                return int(last["generation"])
        if dry_run:
            return None
        place = (gallery.snapshot, gallery.last, gallery.history)
        return int(await self._database.fetchval(sql.begin_match_generation, pack_digest, terms, *place))

    async def among(self, faces: ShardFaces, generation: int) -> NDArray[np.bool_]:
        """Which of the faces are settled, [N]."""
        ids = [UUID(bytes=bytes(key)) for key in faces.ids]
        rows = await self._database.fetch(sql.settled_among, ids, faces.content, generation)
        settled = {row["face_id"] for row in rows}
        return np.array([key in settled for key in ids], np.bool_)

    async def _look(self, seen: LogPosition) -> Record | None:
        """Up to where the log of changes goes now, if it has no change after this position."""
        row = await self._database.fetchrow(sql.gallery_changes, seen.snapshot, seen.last)
        if row is None:
            raise AssertionError("A query without FROM has one row.")
        same = row["history"] == seen.history and not row["set_back"] and not row["changed"]
        return row if same else None
