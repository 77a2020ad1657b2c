"""Matches of all faces anew: as the jobs of single faces find them, but a cluster at a time.

One process reads faces and gallery and writes what has changed; Ray tasks score. A task has some faces at a
time and takes the gallery block by block, so what it holds is bounded by the two.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
import ray
import typer
from ray.exceptions import RayError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from batch.cluster import LOCAL, WorkersError, cluster_pool, ray_session, stop_at_once
from batch.progress import JobProgress
from batch.search import Places, ready, search_each_other, search_gallery
from db.copy_arrays import Rows, traits_of
from db.pool import Database
from db.rematch import Changes, Faces, Ids, Kind, Pairs, Rematch, Run, Scope, Shard, by_id
from semblance.best_matches import Found, take
from semblance.errors import SemblanceError
from semblance.logging import configure_logging
from semblance.scoring import FACTORS, MIN_QUALITY, Traits
from semblance.settings import Settings, get_settings

SHARD_SIZE = 2000
"""Faces of one shard: with 20 matches each, 40,000 rows of one transaction."""

TASK_FACES = 1000
"""Faces of one task: enough that copying the gallery's blocks into the cache costs little beside scoring."""

ATTEMPTS = 3
"""How often a task is tried again when its worker or node dies."""

COMMAND_SECONDS = 3600.0
"""Longest time of one database command: a million celebrities are 2.5 GB."""


@dataclass(slots=True)
class Summary:
    """What a rematch did. changes: those of its interrupted run included. shards, resumed: how many there
    are, and how many of them were done before. undescribed: faces that have no embedding. stages: seconds
    spent, which add up to more than `seconds`, because they overlap."""

    changes: Changes
    dry_run: bool
    faces: int = 0
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
        table.add_row("faces matched", f"{self.faces:,}")
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
) -> Summary:
    """Match the faces of a scope anew.

    Raises DatabaseError, ConfigurationError where no Ray answers at `address`, WorkersError.
    """
    database = await Database.connect(
        settings.required_database_url.get_secret_value(), pool_size=4, command_seconds=COMMAND_SECONDS
    )
    try:
        with ray_session(address):
            return await _Job(Rematch(database), console).run(scope, dry_run=dry_run)
    finally:
        await database.close()


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Celebrities of one gender, in Ray's store; places: of theirs in the gallery's ids."""

    traits: ray.ObjectRef[Traits]
    places: ray.ObjectRef[Places]
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class _Gallery:
    """The celebrities of one pack whose quality permits a match. blocks: by gender."""

    ids: Ids
    blocks: dict[int, list[_Block]]

    def not_of(self, gender: int) -> list[_Block]:
        """Whom a face may be matched with whose user states this gender, or none (0): as in SQL, where one
        that is not known differs from no other."""
        return [
            block
            for theirs, blocks in self.blocks.items()
            if not gender or theirs not in {0, gender}
            for block in blocks
        ]


class _Job:
    """One rematch."""

    def __init__(self, tables: Rematch, console: Console) -> None:
        self._tables = tables
        self._console = console
        self._stages: defaultdict[str, float] = defaultdict(float)
        self._galleries: dict[str, _Gallery] = {}
        self._reading = asyncio.Lock()
        pool = cluster_pool(None, "cpu")
        self._tasks = asyncio.Semaphore(pool.actors)
        self._workers = pool.actors
        # A task computes on one core. NumPy would take as many threads as there are cores for each.
        options = {
            "num_cpus": pool.num_cpus,
            "max_retries": ATTEMPTS,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}},
        }
        # The names are what the dashboard counts the progress of.
        self._celebrities = ray.remote(search_gallery).options(name="rematch celebrities", **options)
        self._users = ray.remote(search_each_other).options(name="rematch users", **options)
        # Workers start while the first faces are read.
        self._started = [ray.remote(ready).options(**options).remote() for _ in range(pool.actors)]

    async def run(self, scope: Scope, *, dry_run: bool) -> Summary:
        started = time.monotonic()
        with self._timed("plan"):
            run = await self._tables.begin(scope, dry_run=dry_run)
            undescribed = await self._tables.undescribed()
        summary = Summary(
            run.done,
            dry_run,
            faces=sum(shard.faces for shard in run.left),
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
        with JobProgress(self._console, "rematch", summary.faces, aside="rows to write") as progress:

            async def work() -> None:
                for shard in left:
                    changes = await self._shard(run, shard)
                    summary.changes = summary.changes.plus(changes)
                    summary.scored += changes.pairs
                    progress.advance(shard.faces, changes.added + changes.changed + changes.removed)

            # One more than there are tasks: while it reads or writes, all cores still score.
            await _all(work() for _ in range(self._workers + 1))
        await self._tables.complete(run)
        summary.seconds = time.monotonic() - started
        summary.stages = self._stages
        return summary

    async def _shard(self, run: Run, shard: Shard) -> Changes:
        with self._timed("read faces"):
            faces = await self._tables.faces(shard, run.scope)
        search = self._pairs_with_celebrities if shard.kind == "celebrities" else self._pairs_of_users
        found = await search(run, shard, faces)
        with self._timed("write"):
            return await self._tables.write(run, shard, faces, found)

    async def _pairs_with_celebrities(self, run: Run, shard: Shard, faces: Faces) -> Pairs:
        gallery = await self._gallery(shard.pack_digest)
        compared = 0
        searches = []
        for gender in np.unique(faces.gender):
            probes = np.flatnonzero(faces.gender == gender)
            blocks = gallery.not_of(int(gender))
            compared += len(probes) * sum(block.size for block in blocks)
            refs = [(block.traits, block.places) for block in blocks]
            for start in range(0, len(probes), TASK_FACES):
                part = probes[start : start + TASK_FACES]
                traits = take(faces.traits, part)
                searches.append(self._score(self._celebrities, part, traits, refs, run))
        return _pairs(faces.ids, gallery.ids, await asyncio.gather(*searches), compared)

    async def _pairs_of_users(self, run: Run, shard: Shard, faces: Faces) -> Pairs:
        groups = list(_groups(faces))
        compared = sum(len(probes) * len(targets) for probes, targets in groups)
        traits = ray.put(faces.traits)
        everybody = np.arange(len(faces.ids))
        searches = [
            self._score(self._users, everybody, traits, some, run) for some in _by_faces(groups, TASK_FACES)
        ]
        return _pairs(faces.ids, faces.ids, await asyncio.gather(*searches), compared)

    async def _score(
        self, search: Any, probes: Places, traits: object, targets: object, run: Run
    ) -> tuple[Places, Found]:
        """What a task finds, beside the places of its probes among the shard's faces."""
        async with self._tasks:
            with self._timed("score"):
                found = await search.remote(traits, targets, run.rules.weights, run.rules.threshold)
        return probes, found

    async def _gallery(self, pack_digest: str) -> _Gallery:
        async with self._reading:
            if pack_digest not in self._galleries:
                with self._timed("read gallery"):
                    self._galleries[pack_digest] = await self._read_gallery(pack_digest)
        return self._galleries[pack_digest]

    async def _read_gallery(self, pack_digest: str) -> _Gallery:
        ids: list[Ids] = []
        parts: list[tuple[int, ray.ObjectRef[Traits]]] = []

        def put(rows: Rows) -> None:
            fit = rows[rows["quality"] >= MIN_QUALITY]
            for gender in np.unique(fit["gender"]):
                some = fit[fit["gender"] == gender]
                ids.append(some["id"].copy())
                parts.append((int(gender), ray.put(traits_of(some))))

        await self._tables.read_gallery(pack_digest, put)
        every = np.concatenate([np.empty(0, "V16"), *ids])
        order = by_id(every)
        # Equal scores go by id, so a celebrity's place is its rank by id.
        places = np.empty(len(every), np.intp)
        places[order] = np.arange(len(every))
        blocks: dict[int, list[_Block]] = {}
        begin = 0
        for (gender, traits), some in zip(parts, ids, strict=True):
            end = begin + len(some)
            blocks.setdefault(gender, []).append(_Block(traits, ray.put(places[begin:end]), len(some)))
            begin = end
        return _Gallery(every[order], blocks)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._stages[stage] += time.monotonic() - started


def _groups(faces: Faces) -> Iterator[tuple[Places, Places]]:
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
    """The groups, several together until they have `faces` probes."""
    some: list[tuple[Places, Places]] = []
    for group in groups:
        some.append(group)
        if sum(len(probes) for probes, _ in some) >= faces:
            yield some
            some = []
    if some:
        yield some


def _pairs(faces: Ids, targets: Ids, parts: Sequence[tuple[Places, Found]], compared: int) -> Pairs:
    """What all tasks of a shard found, by ids."""
    nothing = np.empty(0, np.intp)
    probe = np.concatenate([nothing, *(places[found.probe] for places, found in parts)])
    target = np.concatenate([nothing, *(found.target for _, found in parts)])
    return Pairs(
        face=faces[probe],
        target=targets[target],
        score=np.concatenate([np.empty(0), *(found.score for _, found in parts)]),
        factors=np.concatenate([np.empty((len(FACTORS), 0)), *(found.factors for _, found in parts)], axis=1),
        compared=compared,
    )


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all, or end all with the first error."""
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


def main(
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            help="Only faces that were stored or described since; in UTC unless an offset says otherwise.",
            show_default=False,
        ),
    ] = None,
    school: Annotated[
        str | None, typer.Option(help="Only faces of profiles of this school.", show_default=False)
    ] = None,
    users: Annotated[bool, typer.Option("--users", help="Only matches between users.")] = False,
    celebrities: Annotated[
        bool, typer.Option("--celebrities", help="Only matches with celebrities.")
    ] = False,
    shard_size: Annotated[
        int,
        typer.Option(min=1, help="Faces that are written, and done again after a kill, together."),
    ] = SHARD_SIZE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Score and count what would change, but write nothing.")
    ] = False,
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", help="Address of Ray; `local` runs one for the time of the job."),
    ] = LOCAL,
) -> None:
    """Match all faces anew, with each other and with the gallery, by the rules as they are now.

    To be run after a change of the weights, of the gallery or of the model pack. The service goes on
    answering. Matches that are found as they are stored are not touched, so nobody is told of them again;
    matches that are not found any more go, but for pairs that somebody likes or that have led to a picture
    or a chat. A run that was interrupted is completed by the same command within a day.

    \b
    On a running cluster, with the interpreter's absolute path:
      ray job submit --address http://127.0.0.1:8265 -- /opt/semblance/.venv/bin/python \\
        -m batch.rematch
    On this machine alone:
      python -m batch.rematch --dry-run
      python -m batch.rematch --celebrities --since 2026-01-31
      python -m batch.rematch --users --school "uni.edu"
    """
    settings = get_settings()
    configure_logging(settings)
    console = Console()
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    kinds: tuple[Kind, ...] = ("users", "celebrities")
    if users != celebrities:
        kinds = ("users",) if users else ("celebrities",)
    scope = Scope(kinds, since, school, shard_size)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_at_once)
    try:
        summary = asyncio.run(rematch(scope, settings, console, dry_run=dry_run, address=address))
    except SemblanceError as exc:
        Console(stderr=True).print(f"[red]error:[/] {escape(exc.message)}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from exc
    console.print(summary.table())


if __name__ == "__main__":
    typer.run(main)
