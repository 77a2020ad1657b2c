"""Matches all faces again, on a whole cluster, with the results that a match job for each face would have.

One process reads faces and gallery and writes what has changed; Ray tasks score. A task compares some faces
with one segment of the gallery, so its memory is bounded, and the best of all segments are merged. The first
segments are searched while the others are still being read.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import RayError
from rich.console import Console
from rich.table import Table

from batch.cluster import LOCAL, plan_cluster_pool, ray_session
from batch.progress import JobProgress
from batch.rematch.turns import Turns
from db.copy_arrays import Rows
from db.pool import Database
from matching.eligibility import may_match
from matching.ranking import RankedPairs, best_in_groups, best_matches, merged
from matching.rematch import (
    Ids,
    Kind,
    Rematch,
    RematchCounts,
    Run,
    Scope,
    Shard,
    ShardFaces,
    ShardMatches,
    by_id,
    places_in,
)
from matching.rows import PersonNumbers, traits_of
from matching.scoring import MIN_QUALITY
from matching.traits import Places, Traits
from semblance.errors import WorkersError
from semblance.settings import Settings

SHARD_SIZE = 1000
"""ShardFaces of one shard: with 20 matches each, 20,000 rows of one transaction."""

TASK_FACES = 1000
SEGMENT = 32_768
"""Faces and celebrities that one task scores: 33 million pairs in about half a second. With two genders in
the gallery the first task can begin after 65,536 celebrities. A task holds 80 MB of traits and the best;
scoring itself takes smaller blocks (see `matching.ranking`)."""

ATTEMPTS = 3
"""How often a task is tried again after its worker or node has died."""

CONNECTIONS = 4
"""Most shards read or written at once: the database has other clients."""

COMMAND_SECONDS = 3600.0
"""Time limit of one database command: a million celebrities are 2.5 GB."""


@dataclass(slots=True)
class RematchSummary:
    """What a rematch did.

    changes: with those of the interrupted run that it completed. faces: how many were matched with each kind.
    shards, resumed: how many there are, and how many of them an interrupted run had done. undescribed: faces
    without an embedding. seconds: from first to last. scored: pairs. stages: seconds spent in each; they
    overlap, so their sum exceeds `seconds`.
    """

    changes: RematchCounts
    dry_run: bool
    faces: Mapping[Kind, int] = field(default_factory=dict)
    shards: int = 0
    resumed: int = 0
    undescribed: int = 0
    seconds: float = 0.0
    scored: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)

    def table(self) -> Table:
        """For a terminal."""
        table = Table("what", "count")
        table.columns[1].justify = "right"
        for kind, faces in self.faces.items():
            table.add_row(f"faces matched with {kind}", f"{faces:,}")
        table.add_row("shards", f"{self.shards:,}")
        if self.resumed:
            table.add_row("of which done before", f"{self.resumed:,}")
        table.add_row("pairs", f"{self.changes.pairs:,}")
        table.add_row("pairs/s", f"{self.scored / max(self.seconds, 1e-9):,.0f}")
        if self.undescribed:
            table.add_row("faces without embedding", f"{self.undescribed:,}")
        table.add_section()
        would = "would be " if self.dry_run else ""
        for name in ("added", "changed", "removed"):
            table.add_row(f"matches {would}{name}", f"{getattr(self.changes, name):,}")
        table.add_section()
        for stage, seconds in self.stages.items():
            table.add_row(f"seconds: {stage}", f"{seconds:.1f}")
        table.add_row("seconds from first to last", f"{self.seconds:.1f}")
        return table


async def rematch(
    scope: Scope, settings: Settings, console: Console, *, dry_run: bool = False, address: str = LOCAL
) -> RematchSummary:
    """Match the faces of a scope again.

    Raises DatabaseError, WorkersError, and ConfigurationError if no Ray answers at `address`.
    """
    database = await Database.connect(
        settings.required_database_url.get_secret_value(),
        pool_size=CONNECTIONS,
        command_seconds=COMMAND_SECONDS,
    )
    try:
        with ray_session(address):
            return await _RematchRun(Rematch(database), console).run(scope, dry_run=dry_run)
    finally:
        await database.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Segment:
    """Celebrities of one gender in Ray's object store, with their places in the gallery and the numbers of
    their people."""

    gender: int
    size: int
    traits: ray.ObjectRef[Traits]
    places: ray.ObjectRef[Places]
    person: ray.ObjectRef[NDArray[np.int64]]


class _SegmentedGallery:
    """The celebrities of one pack whose quality permits a match, as they are read. ids: of all, ascending: of
    equal scores the smaller place wins, as the smaller id does in SQL."""

    def __init__(self) -> None:
        self.ids: Ids = np.empty(0, "V16")
        self._segments: list[_Segment] = []
        self._waiting: dict[int, list[Rows]] = defaultdict(list)
        self._changed = asyncio.Event()
        self._complete = False
        self._people = PersonNumbers()

    def begin(self, ids: Ids) -> None:
        """Take the ids of all celebrities."""
        self.ids = ids

    def add(self, rows: Rows) -> None:
        """Take the rows of some."""
        fit = rows["quality"] >= MIN_QUALITY
        for gender in np.unique(rows["gender"][fit]):
            waiting = self._waiting[int(gender)]
            waiting.append(rows[fit & (rows["gender"] == gender)])
            if sum(map(len, waiting)) >= SEGMENT:
                self._put(int(gender))

    def complete(self) -> None:
        """Note that these were all."""
        for gender in list(self._waiting):
            self._put(gender)
        self._complete = True
        self._changed.set()

    async def segments(self) -> AsyncIterator[_Segment]:
        """All segments, each as soon as it is complete."""
        number = 0
        while True:
            while number < len(self._segments):
                yield self._segments[number]
                number += 1
            if self._complete:
                return
            await self._changed.wait()

    def _put(self, gender: int) -> None:
        rows = np.concatenate(self._waiting.pop(gender))
        rows = rows[by_id(rows["id"])]
        traits, places = traits_of(rows), places_in(self.ids, rows["id"])
        person = self._people.of(rows["person"])
        self._segments.append(_Segment(gender, len(rows), ray.put(traits), ray.put(places), ray.put(person)))
        self._changed.set()
        self._changed = asyncio.Event()


class _RematchRun:
    """One rematch."""

    def __init__(self, tables: Rematch, console: Console) -> None:
        self._tables = tables
        self._console = console
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._galleries: dict[str, _SegmentedGallery] = {}
        plan = plan_cluster_pool(None, "cpu")
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._turns = Turns(plan.actors)
        self._workers = plan.actors
        # Ray has NumPy compute on one core in a task that reserves no more.
        options = {"num_cpus": plan.num_cpus, "max_retries": ATTEMPTS}
        # The names are what the dashboard counts the progress of.
        self._celebrities = ray.remote(best_matches).options(name="rematch celebrities", **options)
        self._users = ray.remote(best_in_groups).options(name="rematch users", **options)

    async def run(self, scope: Scope, *, dry_run: bool) -> RematchSummary:
        started = time.monotonic()
        with self._timed("plan"):
            run = await self._tables.begin(scope, dry_run=dry_run)
            undescribed = await self._tables.undescribed()
        summary = RematchSummary(
            run.done,
            dry_run,
            faces={
                kind: sum(shard.faces for shard in run.left if shard.kind == kind) for kind in scope.kinds
            },
            shards=len(run.left) + run.resumed,
            resumed=run.resumed,
            undescribed=undescribed,
        )
        if run.resumed:
            self._console.print(
                f"Going on with an interrupted run: {run.resumed:,} of {summary.shards:,} shards are done.",
                highlight=False,
            )
        left = iter(run.left)
        with JobProgress(
            self._console, "rematch", sum(summary.faces.values()), aside="rows to write"
        ) as progress:

            async def work() -> None:
                for shard in left:
                    changes = await self._shard(run, shard)
                    summary.changes = summary.changes.plus(changes)
                    summary.scored += changes.pairs
                    progress.advance(shard.faces, changes.added + changes.changed + changes.removed)

            packs = {shard.pack_digest for shard in run.left if shard.kind == "celebrities"}
            self._galleries = {pack_digest: _SegmentedGallery() for pack_digest in packs}
            reading = [self._read_gallery(*entry) for entry in self._galleries.items()]
            # One more than tasks at a time: while it reads or writes, all cores still score.
            await _all([*reading, *(work() for _ in range(self._workers + 1))])
        await self._tables.complete(run)
        summary.seconds = time.monotonic() - started
        summary.stages = self._stages
        return summary

    async def _shard(self, run: Run, shard: Shard) -> RematchCounts:
        async with self._connection("read faces"):
            faces = await self._tables.faces(shard, run.scope)
        search = self._pairs_with_celebrities if shard.kind == "celebrities" else self._pairs_of_users
        found = await search(run, shard, faces)
        async with self._connection("write"):
            return await self._tables.write(run, shard, faces, found)

    async def _pairs_with_celebrities(self, run: Run, shard: Shard, faces: ShardFaces) -> ShardMatches:
        gallery = self._galleries[shard.pack_digest]
        groups = []
        for gender in np.unique(faces.gender):
            probes = np.flatnonzero(faces.gender == gender)
            for start in range(0, len(probes), TASK_FACES):
                some = probes[start : start + TASK_FACES]
                groups.append((int(gender), some, ray.put(faces.traits.take(some))))
        searches, compared = [], 0
        async for segment in gallery.segments():
            for stated, some, traits in groups:
                if may_match(stated, segment.gender):
                    arguments = (traits, segment.traits, segment.places)
                    score = self._score(
                        run, shard, some, self._celebrities, *arguments, person=segment.person
                    )
                    searches.append(asyncio.create_task(score))
                    compared += len(some) * segment.size
        return _pairs(faces.ids, gallery.ids, await asyncio.gather(*searches), compared)

    async def _pairs_of_users(self, run: Run, shard: Shard, faces: ShardFaces) -> ShardMatches:
        groups = list(_groups(faces))
        compared = sum(len(probes) * len(targets) for probes, targets in groups)
        traits = ray.put(faces.traits)
        everybody = np.arange(len(faces.ids))
        searches = [
            self._score(run, shard, everybody, self._users, traits, some)
            for some in _by_faces(groups, TASK_FACES)
        ]
        return _pairs(faces.ids, faces.ids, await asyncio.gather(*searches), compared)

    async def _score(
        self, run: Run, shard: Shard, probes: Places, search: Any, *arguments: object, **owners: object
    ) -> RankedPairs:
        """What a task finds, by places among the shard's faces; probes: those of the task's."""
        # Shards end one after the other, as they were planned: what is done is safe.
        async with self._turns.take(shard.number):
            with self._timed("score"):
                terms = (run.rules.weights, run.rules.threshold)
                found: RankedPairs = await search.remote(*arguments, *terms, **owners)
        return replace(found, probe=probes[found.probe])

    async def _read_gallery(self, pack_digest: str, gallery: _SegmentedGallery) -> None:
        async with self._connection("read gallery"):
            await self._tables.read_gallery(pack_digest, gallery.begin, gallery.add)
            gallery.complete()

    @asynccontextmanager
    async def _connection(self, stage: str) -> AsyncIterator[None]:
        """Wait for a free connection, longer than the pool would, and count the time from then on."""
        async with self._connections:
            with self._timed(stage):
                yield

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._stages[stage] += time.monotonic() - started


def _groups(faces: ShardFaces) -> Iterator[tuple[Places, Places]]:
    """Who is compared with whom in the schools: places of probes, at most TASK_FACES, and of targets."""
    for school in np.unique(faces.school):
        here = faces.school == school
        for gender in np.unique(faces.gender[here]):
            probes = np.flatnonzero(here & faces.is_probe & (faces.gender == gender))
            targets = np.flatnonzero(here & faces.fit & (faces.gender != gender))
            if len(targets):
                for start in range(0, len(probes), TASK_FACES):
                    yield probes[start : start + TASK_FACES], targets


def _by_faces(groups: Sequence[tuple[Places, Places]], faces: int) -> Iterator[list[tuple[Places, Places]]]:
    """The groups, put together until they have `faces` probes."""
    some: list[tuple[Places, Places]] = []
    for group in groups:
        some.append(group)
        if sum(len(probes) for probes, _ in some) >= faces:
            yield some
            some = []
    if some:
        yield some


def _pairs(faces: Ids, targets: Ids, parts: Sequence[RankedPairs], compared: int) -> ShardMatches:
    """What all tasks of a shard found, by ids."""
    found = merged(parts)
    return ShardMatches(faces[found.probe], targets[found.target], found.score, found.factors, compared)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all, and cancel all at the first error."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as group:
        first = group.exceptions[0]
        if not isinstance(first, RayError):
            raise first from None
        reason = str(first).strip().rpartition("\n")[2]
        raise WorkersError(f"The workers cannot run: {reason}") from first
