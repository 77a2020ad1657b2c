"""The matches of many faces at once: what a rematch reads, as arrays, and how it writes what has changed.

A run is planned in shards. The changes of a shard and the note that it is done are one transaction, so a run
that was killed continues where it stopped, and its result is that of an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, astuple, dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.copy_arrays import TRAITS, read_rows, row_type, write_rows
from db.pool import Connection, Database, ForeignKeyViolationError, UniqueViolationError
from db.queries import sql
from matching.rows import sortable, traits_of
from matching.scoring import BEST, MIN_QUALITY
from matching.store import Matching, MatchRules
from matching.traits import Floats, Places, Traits
from semblance.weights import FACTORS

Kind: TypeAlias = Literal["users", "celebrities"]


@dataclass(frozen=True, slots=True)
class _Statements:
    """The statements for one kind of match."""

    compare: str
    count: str
    lock: str
    change: str
    remove: str
    add: str


_OF_KIND: dict[Kind, _Statements] = {
    "users": _Statements(
        sql.compare_user_matches,
        sql.count_user_difference,
        sql.lock_different_matches,
        sql.change_user_matches,
        sql.remove_user_matches,
        sql.add_user_matches,
    ),
    "celebrities": _Statements(
        sql.compare_celebrity_matches,
        sql.count_celebrity_difference,
        sql.lock_different_celebrity_matches,
        sql.change_celebrity_matches,
        sql.remove_celebrity_matches,
        sql.add_celebrity_matches,
    ),
}

_FACE = row_type(*TRAITS, ("school", ">i4"), ("is_probe", "?"))

Ids: TypeAlias = NDArray[np.void]
"""UUIDs as their 16 bytes."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which faces to match, with whom, and how many faces a shard has.

    since: only faces stored or analyzed since then. school: only faces of users of this school, given by any
    of its names. settled: search also for faces whose matches are known to be up to date.
    """

    kinds: tuple[Kind, ...]
    since: datetime | None
    school: str | None
    shard_size: int
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Shard:
    """Faces that are matched and written together: all of some schools with each other, or a range of ids
    with celebrities. faces: how many there were when the run was planned."""

    number: int
    pack_digest: str
    schools: list[str] | None
    first_face: UUID | None
    last_face: UUID | None
    faces: int

    @property
    def kind(self) -> Kind:
        return "celebrities" if self.schools is None else "users"


class RematchCounts(NamedTuple):
    """How many pairs were scored, and how many rows of matches were added, changed and removed."""

    pairs: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0

    def plus(self, other: RematchCounts) -> RematchCounts:
        """The sum of both."""
        return RematchCounts(*(one + more for one, more in zip(self, other, strict=True)))


NOTHING = RematchCounts()


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One rematch.

    id: None for a dry run. began: the database's time before anything was read. left: shards to do. resumed:
    how many shards an interrupted run had done. done: what these changed.
    """

    id: UUID | None
    scope: Scope
    rules: MatchRules
    began: datetime
    left: list[Shard]
    resumed: int = 0
    done: RematchCounts = NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class ShardFaces:
    """N faces in the order of their ids.

    gender: as GENDERS numbers them. school: the number of the school in the shard. is_probe: whether to look
    for matches of the face. fit: whether its quality is high enough for others to match it. content: SHA-256
    of all that was read of a face.
    """

    ids: Ids
    traits: Traits
    gender: NDArray[np.int8]
    school: NDArray[np.int32]
    is_probe: NDArray[np.bool_]
    fit: NDArray[np.bool_]
    content: list[bytes]

    def take(self, places: Places) -> ShardFaces:
        """The faces at these places."""
        return ShardFaces(
            self.ids[places],
            self.traits.take(places),
            self.gender[places],
            self.school[places],
            self.is_probe[places],
            self.fit[places],
            [self.content[place] for place in places.tolist()],
        )


@dataclass(frozen=True, slots=True, eq=False)
class ShardMatches:
    """P matches found. face, target: ids. score: float64 [P]. factors: float64 [6, P]. compared: how many
    pairs were scored to find them."""

    face: Ids
    target: Ids
    score: Floats
    factors: Floats
    compared: int


@dataclass(frozen=True, slots=True, eq=False)
class ShardCandidates:
    """P pairs that may be matches: the best of each face become matches. face, target, compared: as above."""

    face: Ids
    target: Ids
    compared: int


class Rematch:
    """Reads and writes of a rematch. Every method raises DatabaseError if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._matching = Matching(database)

    async def begin(self, scope: Scope, *, dry_run: bool) -> Run:
        """Resume the last run of the same scope and rules, if it began within a day, or plan a new one.

        Args:
            dry_run: Always plan a new run, and write nothing.
        """
        began = await self._database.fetchval(sql.clock)
        rules = await self._matching.rules()
        scope = replace(scope, school=await self._database.fetchval(sql.school_to_rematch, scope.school))
        if dry_run:
            return Run(None, scope, rules, began, await self._plan(scope))
        options = _options(scope, rules)
        await self._database.execute(sql.prune_rematches)
        run_id = await self._database.fetchval(sql.interrupted_rematch, options)
        if run_id is None:
            shards = await self._plan(scope)
            async with self._database.transaction() as connection:
                run_id = await connection.fetchval(sql.start_rematch, options)
                await connection.executemany(
                    sql.plan_rematch_shard, [(run_id, *astuple(shard)) for shard in shards]
                )
            return Run(run_id, scope, rules, began, shards)
        rows = await self._database.fetch(sql.rematch_shards_left, run_id)
        done = await self._database.fetchrow(sql.rematch_shards_done, run_id)
        if done is None:
            raise AssertionError("An aggregate has one row.")
        resumed, *counts = done.values()
        left = [Shard(**row) for row in rows]
        return Run(run_id, scope, rules, began, left, resumed, RematchCounts(*counts))

    async def complete(self, run: Run) -> None:
        """Record that all shards are done. The same scope then begins a new run."""
        if run.id is not None:
            await self._database.execute(sql.complete_rematch, run.id)

    async def undescribed(self) -> int:
        """The number of faces without an embedding, which cannot be matched."""
        return int(await self._database.fetchval(sql.undescribed_faces))

    async def faces(self, shard: Shard, scope: Scope) -> ShardFaces:
        """The faces of a shard, as they are stored now."""
        terms: tuple[object, ...]
        if shard.schools is not None:
            query, terms = sql.read_faces_of_schools, (shard.schools, scope.since)
        else:
            query, terms = (
                sql.read_faces_between,
                (shard.first_face, shard.last_face, scope.school, scope.since),
            )
        pieces = [np.empty(0, _FACE)]
        async with self._database.transaction(readonly=True) as connection:
            await read_rows(connection, query, shard.pack_digest, *terms, row=_FACE, take=pieces.append)
        rows = np.concatenate(pieces)
        rows = rows[by_id(rows["id"])]
        return ShardFaces(
            ids=rows["id"].copy(),
            traits=traits_of(rows),
            gender=rows["gender"].astype(np.int8),
            school=rows["school"].astype(np.int32),
            is_probe=rows["is_probe"].copy(),
            fit=rows["quality"] >= MIN_QUALITY,
            content=[hashlib.sha256(row).digest() for row in rows.view(("V", rows.itemsize))],
        )

    async def write(
        self,
        run: Run,
        shard: Shard,
        faces: ShardFaces,
        found: ShardMatches | ShardCandidates,
        generation: int | None = None,
    ) -> RematchCounts:
        """Make what was found the matches of a shard, and record that the shard is done. A dry run only
        counts.

        A match that is stored as it was found is not written, so nobody is notified of it again. A match of
        two users that was not found is removed unless it is in use.

        Args:
            faces: All faces of the shard, but for those that are settled.
            generation: What celebrities were searched by; None: nobody has to know.
        """
        if not len(faces.ids):
            if run.id is not None:
                await self._database.execute(sql.complete_rematch_shard, run.id, shard.number, *NOTHING)
            return NOTHING
        statements = _OF_KIND[shard.kind]
        weights = run.rules.weights.as_dict()
        ids = [UUID(bytes=bytes(key)) for key in faces.ids]
        async with self._database.transaction() as connection:
            if run.id is not None:
                locked = await connection.fetch(sql.lock_faces, ids, shard.pack_digest)
                ids = [row["id"] for row in locked]
            await connection.execute(sql.stage_found)
            await connection.execute(sql.stage_difference)
            pairs = [
                ("match_id", _new_ids(len(found.face))),
                ("face_id", found.face),
                ("target_id", found.target),
            ]
            if isinstance(found, ShardCandidates):
                await connection.execute(sql.stage_candidates)
                await write_rows(connection, "staged_candidates", pairs)
                terms = (MIN_QUALITY, weights, run.rules.threshold, BEST, ids)
                await connection.execute(sql.score_candidates, shard.pack_digest, *terms)
            else:
                columns = zip(FACTORS, found.factors, strict=True)
                await write_rows(connection, "staged_found", [*pairs, ("score", found.score), *columns])
                await connection.execute(sql.analyze_found)
            if shard.kind == "celebrities":
                await connection.execute(statements.compare, weights, ids, shard.pack_digest, run.began)
            else:
                # If only some faces of a school were searched, no stored match is known to be stale.
                stale = ids if run.scope.since is None else []
                await connection.execute(statements.compare, weights, stale, shard.pack_digest)
            counted = await connection.fetchrow(statements.count)
            changes = RematchCounts(found.compared, *counted.values())
            if run.id is None:
                return changes
            if changes.changed or changes.removed:
                await connection.execute(statements.lock)
                changed = await connection.fetchval(statements.change, weights, shard.pack_digest)
                removed = await connection.fetchval(statements.remove)
                changes = changes._replace(changed=changed, removed=removed)
            if changes.added:
                added = await _add(connection, shard, weights)
                changes = changes._replace(added=added)
            if shard.kind == "celebrities" and generation is not None:
                content = dict(zip(map(bytes, faces.ids), faces.content, strict=True))
                await connection.execute(
                    sql.settle_faces, ids, [content[key.bytes] for key in ids], generation
                )
            await connection.execute(sql.complete_rematch_shard, run.id, shard.number, *changes)
            return changes

    async def _plan(self, scope: Scope) -> list[Shard]:
        shards: list[Shard] = []
        if "users" in scope.kinds:
            for row in await self._database.fetch(sql.schools_to_rematch, scope.school, scope.since):
                digest, school, faces = row.values()
                last = shards[-1] if shards else None
                if (
                    last is None
                    or last.schools is None
                    or last.pack_digest != digest
                    or last.faces + faces > scope.shard_size
                ):
                    shards.append(Shard(len(shards), digest, [school], None, None, faces))
                else:
                    shards[-1] = Shard(
                        last.number, digest, [*last.schools, school], None, None, last.faces + faces
                    )
        if "celebrities" in scope.kinds:
            rows = await self._database.fetch(
                sql.faces_to_rematch, scope.school, scope.since, scope.shard_size
            )
            shards += [
                Shard(
                    len(shards) + place,
                    row["pack_digest"],
                    None,
                    row["first_face"],
                    row["last_face"],
                    row["faces"],
                )
                for place, row in enumerate(rows)
            ]
        return shards


async def _add(connection: Connection, shard: Shard, weights: dict[str, float]) -> int:
    """Add what was found and is not stored; returns how many. Faces are locked, but since the pairs were
    scored, a celebrity may have been removed, or a match with one who was deleted may have been restored."""
    while True:
        try:
            async with connection.transaction():
                return int(await connection.fetchval(_OF_KIND[shard.kind].add, weights, shard.pack_digest))
        except (ForeignKeyViolationError, UniqueViolationError):
            if shard.kind != "celebrities" or not await connection.fetchval(sql.forget_overtaken_celebrities):
                raise


def by_id(ids: Ids) -> Places:
    """The places of the ids in ascending order, as PostgreSQL orders them."""
    return np.argsort(sortable(ids))


def _new_ids(count: int) -> Ids:
    """Random ids (RFC 9562, version 4). A PostgreSQL that was built without OpenSSL opens the system's device
    for each that it makes, which is a fifth of the time of an insert."""
    fields = np.frombuffer(os.urandom(16 * count), np.uint8).reshape(count, 16).copy()
    fields[:, 6] = fields[:, 6] & 0x0F | 0x40
    fields[:, 8] = fields[:, 8] & 0x3F | 0x80
    return fields.view("V16")[:, 0]


def _options(scope: Scope, rules: MatchRules) -> dict[str, Any]:
    since = None if scope.since is None else scope.since.isoformat()
    return {**asdict(scope), "since": since, "weights": rules.weights.as_dict(), "threshold": rules.threshold}
