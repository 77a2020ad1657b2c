"""Bulk ingestion: a folder, manifest or bucket of pictures into the celebrities' gallery.

One process lists the inputs and writes the rows, in the inputs' order; a pool of Ray Data actors reads,
describes and stores the pictures. Rows follow from the pictures alone, so an ingestion that was killed
and is started again ends with the rows of an undisturbed one.
"""

from __future__ import annotations

import asyncio
import pickle
import time
import warnings
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy
from ray.exceptions import RayError
from ray.util.annotations import RayDeprecationWarning
from rich.console import Console
from rich.markup import escape

from batch.cluster import LOCAL, Pool, cluster_pool, configure_data, ray_session
from batch.ingest.describe import FOLDER, Describer, Rules
from batch.ingest.outcomes import Outcome, Result, Summary
from batch.ingest.sources import BadEntry, Entry, Item, list_source
from batch.progress import JobProgress
from batch.report import Report, default_report_path
from db.celebrities import Celebrities
from db.object_deletions import ObjectDeletions
from db.pool import Database
from deployments.packs.registry import load_pack
from semblance.errors import PackMismatchError, WorkersError
from semblance.ingest_options import (
    BATCH_SIZE,
)
from semblance.settings import Settings
from semblance.storage import open_storage
from semblance.types import ModelInfo

WRITE_ROWS = 256
"""Most rows of one COPY: at some 3 kB a row well below a megabyte."""

WRITE_EVERY_S = 1.0
"""Longest time that results wait to be written; what a killed run has to do again."""

ATTEMPTS = 3
"""How often a batch is tried again when its worker dies, by a kill, a lost node or a picture that takes
a decoder down. After that its pictures are tried one by one, and what still kills a worker has failed."""

PROBE = "probe"
"""A folder of the store, always empty, that is listed once at the start: a store that does not answer, or
a bucket that does not exist, is known before the work is done."""


@dataclass(frozen=True, slots=True)
class Options:
    """One ingestion. address: of Ray, or LOCAL. category: of pictures that state none. actors: size of the
    pool, None for one per core. limit: take only the first inputs. report: file, None for the default.
    exclude, follow_links: as of `list_source`."""

    source: str
    rules: Rules
    address: str = LOCAL
    category: str | None = None
    batch_size: int = BATCH_SIZE
    actors: int | None = None
    limit: int | None = None
    report: Path | None = None
    exclude: Sequence[str] = ()
    follow_links: bool = False


async def ingest(options: Options, settings: Settings, console: Console) -> Summary:
    """Run an ingestion to its end. settings: with an absolute home, which workers elsewhere share.

    Raises SourceError for a source that cannot be read or holds nothing, ConfigurationError, PackError,
    DatabaseError, StorageError, WorkersError, and PackMismatchError where the gallery was embedded by
    another pack.
    Pictures that are not taken are results, not errors.
    """
    listing = await asyncio.to_thread(
        list_source,
        options.source,
        options.category,
        exclude=options.exclude,
        follow_links=options.follow_links,
        limit=options.limit,
    )
    entries = listing.entries
    for remark in listing.remarks:
        console.print(f"[yellow]note:[/] {escape(remark)}", highlight=False, soft_wrap=True)
    model = load_pack(settings).info
    storage = open_storage(settings)
    await storage.keys(PROBE)
    database = await Database.connect(settings.required_database_url.get_secret_value(), pool_size=1)
    try:
        celebrities = Celebrities(database)
        await _check_pack(celebrities, model)
        known = np.array(sorted(await celebrities.known_hashes(model.digest)), dtype=np.bytes_)
        if not options.rules.dry_run:
            # After the reading of what is known: an unknown picture that was there before is recorded by now,
            # and must not be removed when it is stored again and its row is yet to come.
            await ObjectDeletions(database).finish_folder(storage, FOLDER)
        with (
            Report(options.report or default_report_path(settings.home, "ingest")) as report,
            ray_session(options.address),
        ):
            configure_data()
            pool = cluster_pool(options.actors, settings.execution_provider)
            console.print(
                f"{len(entries):,} inputs, {len(known):,} pictures known, {pool.actors} workers, "
                f"pack {model.pack} {model.digest[:12]}",
                highlight=False,
                soft_wrap=True,
            )
            writer = _Writer(entries, None if options.rules.dry_run else celebrities, report)
            started = time.monotonic()
            with JobProgress(console, "ingest", len(entries)) as progress:
                async for results in _Workers(options, settings, pool, known).results(entries):
                    await writer.add(results, progress)
                await writer.flush(progress)
            if writer.counts["ingested"] and not options.rules.dry_run:
                await celebrities.analyze()
            return Summary(
                dict(writer.counts),
                time.monotonic() - started,
                report.path,
                excluded=listing.excluded,
                dry_run=options.rules.dry_run,
            )
    finally:
        await database.close()


async def _check_pack(celebrities: Celebrities, model: ModelInfo) -> None:
    """Refuse a gallery of another pack at once, not at the first picture that both have."""
    if await celebrities.count() and not await celebrities.count(model.digest):
        raise PackMismatchError(
            f"The gallery in this database was embedded by another model pack than {model.pack} "
            f"({model.digest[:12]}). Set SEMBLANCE_PACK to that one, or SEMBLANCE_DATABASE_URL to another "
            "database."
        )


class _Writer:
    """Writes results in the order they come: rows to the database, then their lines to the report."""

    def __init__(self, entries: Sequence[Entry], celebrities: Celebrities | None, report: Report) -> None:
        self.counts: Counter[Outcome] = Counter()
        self._entries = entries
        self._celebrities = celebrities
        self._report = report
        self._first: dict[bytes, int] = {}
        self._pending: list[Result] = []
        self._written = time.monotonic()

    async def add(self, results: Iterable[Result], progress: JobProgress) -> None:
        """Take results; enough of them, or after a time, are written."""
        self._pending.extend(map(self._deduplicated, results))
        if len(self._pending) >= WRITE_ROWS or time.monotonic() - self._written >= WRITE_EVERY_S:
            await self.flush(progress)

    async def flush(self, progress: JobProgress) -> None:
        """Write what has been taken."""
        if not self._pending:
            return
        rows = [result.row for result in self._pending if result.row is not None]
        if rows and self._celebrities is not None:
            copied = await self._celebrities.copy_in(rows)
            if copied.other_pack:
                raise PackMismatchError(
                    f"{copied.other_pack} of these pictures are in the gallery with an embedding of another "
                    "model pack, and stay as they are. Ingest into a database of its own for each pack."
                )
        self._report.write(_line(result, self._entries[result.index]) for result in self._pending)
        self.counts.update(result.outcome for result in self._pending)
        taken = {"ingested", "already_present"}
        rejected = sum(result.outcome not in taken for result in self._pending)
        progress.advance(len(self._pending), rejected)
        self._pending.clear()
        self._written = time.monotonic()

    def _deduplicated(self, result: Result) -> Result:
        """Of equal pictures the first input counts: results come in the order of the inputs."""
        if result.outcome not in {"ingested", "already_present"} or result.image_hash is None:
            return result
        first = self._first.setdefault(bytes.fromhex(result.image_hash), result.index)
        if first == result.index:
            return result
        reason = f"the same picture as {self._entries[first].label}"
        return replace(result, outcome="duplicate", reason=reason, row=None)


class _Workers:
    """The pool of Ray Data actors of one ingestion."""

    def __init__(self, options: Options, settings: Settings, pool: Pool, known: NDArray[np.bytes_]) -> None:
        # Workers need no secret, and arguments of actors can be seen in Ray's dashboard and logs.
        self._arguments = (settings.without_secrets(), options.rules, ray.put(known))
        self._batch_size = options.batch_size
        self._pool = pool

    async def results(self, entries: Sequence[Entry]) -> AsyncIterator[list[Result]]:
        """One result for each entry, some at a time, in order; only those that killed a worker come last."""
        items = {index: entry for index, entry in enumerate(entries) if isinstance(entry, Item)}
        bad = deque(
            _rejected(index, entry) for index, entry in enumerate(entries) if isinstance(entry, BadEntry)
        )
        for block_size in (self._batch_size, 1):
            async for results in self._described(list(items.items()), block_size):
                merged = []
                for result in results:
                    while bad and bad[0].index < result.index:
                        merged.append(bad.popleft())
                    del items[result.index]
                    merged.append(result)
                yield merged
        reason = "its worker died or failed in every attempt; Ray's logs say more"
        yield [*bad, *(Result(index, "failed", reason) for index in items)]

    async def _described(
        self, items: Sequence[tuple[int, Item]], block_size: int
    ) -> AsyncIterator[list[Result]]:
        """Results for the items by block, in order; a block whose worker kept dying is left out."""
        if not items:
            return
        block_size = min(block_size, -(-len(items) // self._pool.actors))
        blocks = -(-len(items) // block_size)
        rows = [{"index": index, "item": pickle.dumps(item)} for index, item in items]
        with warnings.catch_warnings():
            # The two retry counts are said to become named parameters, and in this Ray are not yet.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            # from_items makes its blocks here; from_arrow asks the cluster for a free core to look at each.
            dataset = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
                Describer,
                batch_size=None,
                batch_format="pyarrow",
                # A second block waits at the worker, so that it never idles for want of the driver; but
                # not one that would lose an attempt whenever the picture before it kills the worker.
                compute=ActorPoolStrategy(
                    size=min(self._pool.actors, blocks),
                    max_tasks_in_flight_per_actor=2 if block_size > 1 else 1,
                ),
                fn_constructor_args=self._arguments,
                num_cpus=self._pool.num_cpus,
                num_gpus=self._pool.num_gpus,
                max_restarts=-1,
                max_task_retries=ATTEMPTS,
            )
        tables: Iterator[pa.Table] = iter(dataset.iter_batches(batch_size=None, batch_format="pyarrow"))
        while (table := await asyncio.to_thread(_next, tables)) is not None:
            yield [pickle.loads(result) for result in table["result"].to_pylist()]  # noqa: S301 - our own


def _next(tables: Iterator[pa.Table]) -> pa.Table | None:
    try:
        return next(tables, None)
    except RayError as exc:
        # Ends with the worker's own error, after the traceback of everything between.
        reason = str(exc).strip().rpartition("\n")[2]
        raise WorkersError(f"The workers cannot run: {reason}") from exc


def _rejected(index: int, entry: BadEntry) -> Result:
    return Result(index, entry.outcome, entry.reason)


def _line(result: Result, entry: Entry) -> dict[str, object]:
    """The line of the report on an input."""
    row = {} if entry.row is None else {"row": entry.row}
    return {"input": entry.label, **row, **result.line()}
