"""Matches all faces again, on a whole cluster, with the results that a match job for each face would have.

One process reads faces and writes what has changed; Ray tasks search. It takes the gallery from the file that
the match workers of its machine share, and puts it into Ray's object store, where a node has it once. A task
searches all of it for some faces, a segment after the other, so its memory is bounded. The database scores
what it finds.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import ray
from ray.exceptions import RayError
from rich.console import Console
from rich.table import Table

from batch.cluster import LOCAL, plan_cluster_pool, ray_session
from batch.progress import JobProgress
from batch.rematch.search import Segment, best_of_users, near_best
from batch.rematch.turns import Turns
from db.pool import Database
from deployments.products import products_graph
from matching.best import merged
from matching.eligibility import may_match
from matching.gallery import Gallery
from matching.gallery_arrays import GalleryArrays
from matching.ranking import Owners, RankedPairs
from matching.rematch import (
    Ids,
    Kind,
    Rematch,
    RematchCounts,
    Run,
    Scope,
    Shard,
    ShardCandidates,
    ShardFaces,
    ShardMatches,
)
from matching.settled import SettledFaces
from matching.traits import Places, Traits
from semblance.errors import WorkersError
from semblance.settings import Settings
from semblance.weights import Weights

SHARD_SIZE = 250
"""Faces of one shard: with 20 matches each, 5,000 rows of one transaction. While larger ones are written,
cores wait: 1000 take a quarter more time, and two thirds more if nothing has changed."""

TASK_FACES = 256
"""Faces of one task, which it compares with all celebrities: a second for a million."""

WHOLE_CORE = 1.0
"""What a task reserves at most. With half a core each, Ray gives two to one core while another has none: two
nodes of one core were as slow as one. Tasks end soon, so those of a lost node find room on the others."""

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
    shards, resumed: how many there are, and how many of them an interrupted run had done. settled: faces that
    no celebrities were searched for, as nothing has changed. undescribed: faces without an embedding.
    seconds: from first to last. scored: pairs. stages: seconds spent in each; they overlap, so their sum
    exceeds `seconds`.
    """

    changes: RematchCounts
    dry_run: bool
    faces: Mapping[Kind, int] = field(default_factory=dict)
    shards: int = 0
    resumed: int = 0
    settled: int = 0
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
        if self.settled:
            table.add_row("of which settled before", f"{self.settled:,}")
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
            job = _RematchRun(database, settings, console)
            return await job.run(scope, dry_run=dry_run)
    finally:
        await database.close()


class _SegmentedGallery:
    """The celebrities of one pack whose quality permits a match. ids: of all, segment after segment."""

    def __init__(self, arrays: GalleryArrays) -> None:
        self.segments: list[Segment] = []
        ids, first = [np.empty(0, "V16")], 0
        for block in arrays.blocks:
            for gender in np.unique(block.gender[block.fit]):
                places = np.flatnonzero(block.fit & (block.gender == gender))
                together = slice(int(places[0]), int(places[-1]) + 1)
                # Those that were read from a file are side by side, and need no copy.
                some = together if len(places) == together.stop - together.start else places
                celebrities = (block.traits.take(some), Owners.of(block.person[places]))
                self.segments.append(Segment(int(gender), first, len(places), ray.put(celebrities)))
                ids.append(block.ids[places])
                first += len(places)
        self.ids: Ids = np.concatenate(ids)


class _PackGallery:
    """The celebrities of one pack, which are put into Ray's object store once a search needs them.

    generation: the number of what a search depends on, of `SettledFaces`.
    """

    def __init__(self, arrays: GalleryArrays, generation: int | None) -> None:
        self.generation = generation
        self._arrays = arrays
        self._segmented: asyncio.Task[_SegmentedGallery] | None = None

    async def segmented(self) -> _SegmentedGallery:
        if self._segmented is None:
            self._segmented = asyncio.create_task(asyncio.to_thread(_SegmentedGallery, self._arrays))
        return await self._segmented


class _RematchRun:
    """One rematch."""

    def __init__(self, database: Database, settings: Settings, console: Console) -> None:
        self._database = database
        self._tables = Rematch(database)
        self._settled = SettledFaces(database)
        self._folder = settings.home / "gallery"
        self._console = console
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._galleries: dict[str, asyncio.Future[_PackGallery]] = {}
        # Where no GPU is free, the processors do it all.
        provider: Literal["auto", "cpu"] = "cpu" if settings.execution_provider == "cpu" else "auto"
        plan = plan_cluster_pool(None, provider, WHOLE_CORE)
        self._graph = None if plan.num_gpus else products_graph()
        if settings.execution_provider == "cuda" and self._graph is not None:
            console.print("No GPU of this Ray cluster is free: the processors search.")
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._turns = Turns(plan.actors)
        self._workers = plan.actors
        # Ray has NumPy compute on one core in a task that reserves no more.
        options = {"num_cpus": plan.num_cpus, "max_retries": ATTEMPTS}
        # The names are what the dashboard counts the progress of.
        search = ray.remote(near_best)
        self._celebrities = search.options(name="rematch celebrities", num_gpus=plan.num_gpus, **options)
        self._start = search.options(name="rematch start", num_gpus=plan.num_gpus, **options)
        self._users = ray.remote(best_of_users).options(name="rematch users", **options)

    async def run(self, scope: Scope, *, dry_run: bool) -> RematchSummary:
        started = time.monotonic()
        waking = [asyncio.create_task(self._wake()) for _ in range(self._workers)]
        try:
            return await self._run(scope, started, dry_run=dry_run)
        finally:
            for task in waking:
                task.cancel()

    async def _run(self, scope: Scope, started: float, *, dry_run: bool) -> RematchSummary:
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
                    changes, settled = await self._shard(run, shard)
                    summary.settled += settled
                    summary.changes = summary.changes.plus(changes)
                    summary.scored += changes.pairs
                    progress.advance(shard.faces, changes.added + changes.changed + changes.removed)

            packs = {shard.pack_digest for shard in run.left if shard.kind == "celebrities"}
            loop = asyncio.get_running_loop()
            self._galleries = {pack_digest: loop.create_future() for pack_digest in packs}
            reading = [self._read_gallery(run, pack_digest) for pack_digest in packs]
            # One more than tasks at a time: while it reads or writes, all cores still search.
            await _all([*reading, *(work() for _ in range(self._workers + 1))])
        await self._tables.complete(run)
        summary.seconds = time.monotonic() - started
        summary.stages = self._stages
        return summary

    async def _wake(self) -> None:
        """Search celebrities for nobody: while this process reads, a worker starts and imports what a search
        needs. Until then it has a turn, because for another task Ray would start another worker."""
        async with self._turns.take(0):
            # If it fails, so does the first search, which is there to tell.
            with suppress(RayError):
                await self._start.remote(self._graph, Traits.empty(0), [], Weights(), 0.0)

    async def _shard(self, run: Run, shard: Shard) -> tuple[RematchCounts, int]:
        """What changed, and how many faces were settled before."""
        async with self._connection("read faces"):
            faces = await self._tables.faces(shard, run.scope)
        read = len(faces.ids)
        found: ShardMatches | ShardCandidates
        if shard.kind == "users":
            generation = None
            found = await self._pairs_of_users(run, shard, faces)
        else:
            gallery = await self._galleries[shard.pack_digest]
            generation = gallery.generation
            if generation is not None and not run.scope.settled:
                async with self._connection("look for what is settled"):
                    settled = await self._settled.among(faces, generation)
                faces = faces.take(np.flatnonzero(~settled))
            found = await self._pairs_with_celebrities(run, shard, faces, gallery)
        async with self._connection("write"):
            changes = await self._tables.write(run, shard, faces, found, generation)
        return changes, read - len(faces.ids)

    async def _pairs_with_celebrities(
        self, run: Run, shard: Shard, faces: ShardFaces, of_pack: _PackGallery
    ) -> ShardCandidates:
        if not len(faces.ids):
            return ShardCandidates(faces.ids, faces.ids, 0)
        gallery = await of_pack.segmented()
        groups, searches, compared = [], [], 0
        for gender in np.unique(faces.gender):
            segments = [segment for segment in gallery.segments if may_match(int(gender), segment.gender)]
            probes = np.flatnonzero(faces.gender == gender)
            for start in range(0, len(probes), TASK_FACES):
                some = probes[start : start + TASK_FACES]
                groups.append(some)
                terms = (self._graph, faces.traits.take(some), segments)
                searches.append(self._search(run, shard, self._celebrities, *terms))
            compared += len(probes) * sum(segment.size for segment in segments)
        found = await asyncio.gather(*searches)
        probe, target = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for some, (near, celebrities) in zip(groups, found, strict=True):
            probe.append(some[near])
            target.append(celebrities)
        return ShardCandidates(
            faces.ids[np.concatenate(probe)], gallery.ids[np.concatenate(target)], compared
        )

    async def _pairs_of_users(self, run: Run, shard: Shard, faces: ShardFaces) -> ShardMatches:
        groups = list(_groups(faces))
        compared = sum(len(probes) * len(targets) for probes, targets in groups)
        traits = ray.put(faces.traits)
        parts: list[RankedPairs] = await asyncio.gather(
            *(self._search(run, shard, self._users, traits, some) for some in _by_faces(groups, TASK_FACES))
        )
        found = merged(parts)
        return ShardMatches(
            faces.ids[found.probe], faces.ids[found.target], found.score, found.factors, compared
        )

    async def _search(self, run: Run, shard: Shard, search: Any, *arguments: object) -> Any:
        """What a task finds."""
        # Shards end one after the other, as they were planned: what is done is safe.
        async with self._turns.take(shard.number):
            with self._timed("search"):
                return await search.remote(*arguments, run.rules.weights, run.rules.threshold)

    async def _read_gallery(self, run: Run, pack_digest: str) -> None:
        async with self._connection("read gallery"):
            gallery = Gallery(self._database, pack_digest, self._folder)
            await gallery.refresh()
            generation = await self._settled.generation(
                pack_digest, run.rules, gallery.position, dry_run=run.id is None
            )
            self._galleries[pack_digest].set_result(_PackGallery(gallery.arrays, generation))

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
