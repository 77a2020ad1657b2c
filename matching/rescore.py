"""Scores from stored factors: a preview of other rules, and an update of stored scores to the current rules.

Neither reads a face or runs a model. Matches that were never stored cannot appear here; `batch.rematch` finds
those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from db.pool import Database, QueryCanceledError, Record
from db.queries import sql
from matching.scoring import BEST
from matching.store import MatchRules
from semblance.errors import DatabaseError, OverloadedError

PREVIEW_SECONDS = 25.0
"""Longest time for each of the two statements of a preview. Both end before a request's deadline."""
EXAMPLES = 10
"""Most examples of each kind of change in a preview."""
BATCH = 1000
"""Rows rescored in one transaction. A like of one of them waits for about a tenth of a second."""


_PAUSE_SECONDS = 0.05
_STUCK_SECONDS = 60.0
_FIRST = (UUID(int=0), UUID(int=0))


@dataclass(frozen=True, slots=True)
class ListedFace:
    """A face with a list of matches, the key of its photo, and the rank of the match on the list, 1..BEST;
    None: not on it."""

    face_id: UUID
    user_id: UUID
    name: str | None
    image_path: str
    rank_before: int | None
    rank_after: int | None


@dataclass(frozen=True, slots=True)
class MatchChange:
    """A match of two users' faces and its scores, 0..1, under the rules before and after."""

    id: UUID
    score_before: float
    score_after: float
    a: ListedFace
    b: ListedFace


@dataclass(frozen=True, slots=True)
class CelebrityMatchChange:
    """A match of a face with a celebrity and its scores, 0..1, under the rules before and after."""

    id: UUID
    score_before: float
    score_after: float
    face: ListedFace
    celebrity_id: UUID
    celebrity_name: str
    celebrity_image_path: str


AnyChange = TypeVar("AnyChange", MatchChange, CelebrityMatchChange)


@dataclass(frozen=True, slots=True)
class ListChanges(Generic[AnyChange]):
    """How many matches are listed before and after, and how many appear, vanish and move.

    vanish_in_use: how many of those that vanish stay stored, because they are in use (`match_in_use` in the
    schema). without_factors: how
    many matches have no factors, because the old app stored them. appearing, vanishing, moving: at most
    EXAMPLES examples each; first those with the highest score, or those that move farthest.
    """

    before: int
    after: int
    appear: int
    vanish: int
    move: int
    vanish_in_use: int
    without_factors: int
    appearing: Sequence[AnyChange]
    vanishing: Sequence[AnyChange]
    moving: Sequence[AnyChange]


@dataclass(frozen=True, slots=True)
class Preview:
    """How the lists of all faces change."""

    users: ListChanges[MatchChange]
    celebrities: ListChanges[CelebrityMatchChange]


@dataclass(slots=True)
class Rescored:
    """What was done, or would be done, to the rows of one table.

    rows: how many were read. rescored: got another score. removed: were below the threshold. kept: were below
    it, and in use. without_factors: have no factors and stay as they are.
    """

    rows: int = 0
    rescored: int = 0
    removed: int = 0
    kept: int = 0
    without_factors: int = 0


@dataclass(frozen=True, slots=True)
class RescoreReport:
    """What was done to both tables."""

    users: Rescored = field(default_factory=Rescored)
    celebrities: Rescored = field(default_factory=Rescored)


@dataclass(frozen=True, slots=True)
class _Table:
    """The statements for one table."""

    survey: str
    lock: str
    remove: str
    rescore: str


_USERS = _Table(
    survey=sql.survey_matches,
    lock=sql.lock_due_matches,
    remove=sql.remove_weak_matches,
    rescore=sql.rescore_matches,
)
_CELEBRITIES = _Table(
    survey=sql.survey_celebrity_matches,
    lock=sql.lock_due_celebrity_matches,
    remove=sql.remove_weak_celebrity_matches,
    rescore=sql.rescore_celebrity_matches,
)


class Rescoring:
    """Works on the factors in `matches` and `celebrity_matches`. Every method raises DatabaseError if the
    database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(
        self, before: MatchRules, after: MatchRules, *, seconds: float = PREVIEW_SECONDS
    ) -> Preview:
        """How the lists of stored matches differ between the rules `before` and `after`. Writes nothing.

        The list of a face has its best BEST matches that reach the threshold; users and celebrities are on
        separate lists. A match of two users is on the lists of both faces and counts once: it is listed if it
        is on one of them, and moves if its rank on either changes.

        Raises OverloadedError if one of the two statements takes longer than `seconds`.
        """
        terms = (
            before.weights.as_dict(),
            before.threshold,
            after.weights.as_dict(),
            after.threshold,
            BEST,
            EXAMPLES,
        )
        async with self._database.transaction(readonly=True) as connection:
            await connection.execute(sql.limit_preview, f"{seconds * 1000:.0f}ms")
            try:
                users = await connection.fetch(sql.preview_matches, *terms)
                celebrities = await connection.fetch(sql.preview_celebrity_matches, *terms)
            except QueryCanceledError as exc:
                raise OverloadedError(
                    f"The preview was stopped because one of its two statements took more than {seconds:g} s."
                    " Try again when the database has less to do.",
                    60,
                ) from exc
        return Preview(
            ListChanges(**_counts(users), **_examples(users, _match_change)),
            ListChanges(**_counts(celebrities), **_examples(celebrities, _celebrity_change)),
        )

    async def count(self) -> int:
        """The number of rows that `rescore` reads."""
        return int(await self._database.fetchval(sql.count_scores))

    async def rescore(
        self,
        rules: MatchRules,
        *,
        dry_run: bool,
        on_progress: Callable[[int, int], None] = lambda rows, removed: None,
        batch: int = BATCH,
    ) -> RescoreReport:
        """Score all matches by the rules, and remove those below the threshold, except matches of users that
        are in use. Nobody is notified.

        It works in transactions of about `batch` rows, in the order of the keys. After an interruption the
        next call does the rest, because rows that have the weights of the rules are not written again.

        Raises DatabaseError if rows stay locked by another transaction for a minute.

        Args:
            dry_run: Count, and write nothing.
            on_progress: Called with the number of rows read since the last call, and how many were removed.
        """
        report = RescoreReport()
        for table, done in ((_USERS, report.users), (_CELEBRITIES, report.celebrities)):
            run = _Walk(self._database, table, rules, batch)
            await run.execute(done, on_progress, dry_run=dry_run)
        return report


class _Walk:
    """One pass over one table."""

    def __init__(self, database: Database, table: _Table, rules: MatchRules, batch: int) -> None:
        self._database = database
        self._table = table
        self._rules = (rules.weights.as_dict(), rules.threshold)
        self._batch = batch

    async def execute(
        self, done: Rescored, on_progress: Callable[[int, int], None], *, dry_run: bool
    ) -> None:
        """Go on to the next batch once a survey of this one finds nothing to do: rows that were locked during
        the write are found by the next survey."""
        after, waited = _FIRST, 0.0
        while (found := await self._survey(after))["rows"]:
            last = (found["last_a"], found["last_b"])
            if not dry_run and (found["rescored"] or found["removed"]):
                rescored, removed = await self._write(after, last)
                rows = removed
                waited = 0.0 if rescored or removed else await _wait(waited)
            else:
                rescored, removed, rows = found["rescored"], found["removed"], found["rows"]
                done.kept += found["kept"]
                done.without_factors += found["without_factors"]
                after = last
            done.rows += rows
            done.rescored += rescored
            done.removed += removed
            if rows:
                on_progress(rows, removed)

    async def _survey(self, after: tuple[UUID, UUID]) -> Record:
        found = await self._database.fetchrow(self._table.survey, *after, self._batch, *self._rules)
        if found is None:
            raise AssertionError("An aggregate has one row.")
        return found

    async def _write(self, after: tuple[UUID, UUID], last: tuple[UUID, UUID]) -> tuple[int, int]:
        """Returns how many rows of the range were rescored and removed; rows locked by others are skipped."""
        weights, threshold = self._rules
        async with self._database.transaction() as connection:
            rows = await connection.fetch(self._table.lock, *after, *last, weights, threshold)
            ids = [row["id"] for row in rows]
            if not ids:
                return 0, 0
            removed = await connection.fetchval(self._table.remove, ids, weights, threshold)
            rescored = await connection.fetchval(self._table.rescore, ids, weights)
        return rescored, removed


async def _wait(waited: float) -> float:
    """Wait for locked rows; returns the seconds waited so far. Raises DatabaseError after _STUCK_SECONDS."""
    if waited > _STUCK_SECONDS:
        raise DatabaseError(
            "Some matches have been locked by another transaction for a minute. End that transaction and run "
            "this again; it continues where it stopped."
        )
    await asyncio.sleep(_PAUSE_SECONDS)
    return waited + _PAUSE_SECONDS


_COUNTS = ("before", "after", "appear", "vanish", "move", "vanish_in_use", "without_factors")
_CHANGES = {"appear": "appearing", "vanish": "vanishing", "move": "moving"}


def _counts(rows: Sequence[Record]) -> dict[str, Any]:
    return {name: rows[0][name] for name in _COUNTS}


def _examples(rows: Sequence[Record], read: Callable[[Record], AnyChange]) -> dict[str, Any]:
    return {name: [read(row) for row in rows if row["change"] == change] for change, name in _CHANGES.items()}


def _match_change(row: Record) -> MatchChange:
    a, b = (
        ListedFace(
            row[f"{side}_face_id"],
            row[f"{side}_user_id"],
            row[f"{side}_name"],
            row[f"{side}_image_path"],
            row[f"{side}_rank_before"],
            row[f"{side}_rank_after"],
        )
        for side in "ab"
    )
    return MatchChange(row["id"], row["score_before"], row["score_after"], a, b)


def _celebrity_change(row: Record) -> CelebrityMatchChange:
    face = ListedFace(
        row["face_id"],
        row["user_id"],
        row["user_name"],
        row["user_image_path"],
        row["rank_before"],
        row["rank_after"],
    )
    return CelebrityMatchChange(
        row["id"],
        row["score_before"],
        row["score_after"],
        face,
        row["celebrity_id"],
        row["celebrity_name"],
        row["celebrity_image_path"],
    )
