"""Bulk ingestion: a folder, manifest or bucket of pictures into the gallery of celebrities.

One process lists the inputs and writes the rows, in the order of the inputs; a pool of Ray actors reads,
analyses and stores the pictures. Rows follow from the pictures alone, so an ingestion that was killed and is
started again ends with the rows of an undisturbed one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from batch.cluster import LOCAL, plan_cluster_pool, ray_session
from batch.ingest.known import KnownHashes
from batch.ingest.options import BATCH_SIZE
from batch.ingest.outcomes import IngestResult, IngestSummary
from batch.ingest.rounds import ingestion_of, work_off
from batch.ingest.sources import BadEntry, Entry, Item, Listing, list_source
from batch.ingest.worker import FOLDER, IngestRules, IngestWorker, NumberedItem
from batch.ingest.writer import Follower, ResultWriter
from batch.progress import JobProgress
from batch.report import JobReport, default_report_path
from batch.storage_check import open_answering_storage
from batch.workers import WorkerPool
from db.celebrities import Celebrities
from db.ingestions import Ingestions
from db.object_deletions import ObjectDeletions
from db.pool import Database
from deployments.packs.registry import load_pack
from semblance.earlier_packs import pack_title
from semblance.errors import PackMismatchError
from semblance.settings import Settings
from semblance.types import ModelInfo


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """One ingestion.

    address: of Ray, or LOCAL. category: of pictures without one. actors: size of the pool, None for one per
    core. limit: take only the first inputs. report: file, None for the default. exclude, follow_links: as in
    `list_source`.
    """

    source: str
    rules: IngestRules
    address: str = LOCAL
    category: str | None = None
    batch_size: int = BATCH_SIZE
    actors: int | None = None
    limit: int | None = None
    report: Path | None = None
    exclude: Sequence[str] = ()
    follow_links: bool = False


async def ingest(options: IngestOptions, settings: Settings, console: Console) -> IngestSummary:
    """Run an ingestion to its end. settings: with an absolute home, which workers on other nodes share.

    Pictures that are not taken are results, not errors. Raises SourceError for a source that cannot be read
    or is empty, ConfigurationError, PackError, DatabaseError, StorageError, WorkersError, and
    PackMismatchError if the gallery was embedded by another pack.
    """
    if (ingestion_id := ingestion_of(options.source)) is None:
        listing = await asyncio.to_thread(
            list_source,
            options.source,
            options.category,
            exclude=options.exclude,
            follow_links=options.follow_links,
            limit=options.limit,
        )
        return await _ingest_listing(listing, options, settings, console)
    options = replace(options, report=options.report or default_report_path(settings.home, "ingest"))
    storage = await open_answering_storage(settings)
    database = await Database.connect(settings.required_database_url.get_secret_value(), pool_size=2)
    try:

        async def run(listing: Listing, follow: Follower) -> IngestSummary:
            return await _ingest_listing(listing, options, settings, console, follow)

        return await work_off(ingestion_id, Ingestions(database), storage, settings, run)
    finally:
        await database.close()


async def _ingest_listing(
    listing: Listing,
    options: IngestOptions,
    settings: Settings,
    console: Console,
    follow: Follower | None = None,
) -> IngestSummary:
    """Ingest what was listed. follow: of an ingestion from the console, whose report has several rounds."""
    entries = listing.entries
    for remark in listing.remarks:
        console.print(f"[yellow]note:[/] {escape(remark)}", highlight=False, soft_wrap=True)
    model = load_pack(settings).info
    storage = await open_answering_storage(settings)
    database = await Database.connect(settings.required_database_url.get_secret_value(), pool_size=1)
    try:
        celebrities = Celebrities(database)
        await _check_pack(celebrities, model)
        known = KnownHashes(await celebrities.known_hashes(model.digest))
        if not options.rules.dry_run:
            # After the known hashes were read: a picture removed since then is recorded as deleted by now. It
            # must not be deleted after this run has stored it again and before its row is written.
            await ObjectDeletions(database).finish_folder(storage, FOLDER)
        items = sum(isinstance(entry, Item) for entry in entries)
        with (
            JobReport(
                options.report or default_report_path(settings.home, "ingest"), append=follow is not None
            ) as report,
            ray_session(options.address),
        ):
            plan = plan_cluster_pool(options.actors, settings.execution_provider).for_items(items)
            console.print(
                f"{len(entries):,} inputs, {len(known):,} pictures known, {plan.actors} workers, "
                f"pack {model.pack} {model.digest[:12]}",
                highlight=False,
                soft_wrap=True,
            )
            writer = ResultWriter(entries, None if options.rules.dry_run else celebrities, report, follow)
            started = time.monotonic()
            shown = settings.without_secrets()
            pool: WorkerPool[NumberedItem, IngestResult] = WorkerPool(
                IngestWorker,
                (shown, options.rules),
                shown,
                plan,
                shared=(known,),
                failed=lambda numbered, reason: IngestResult(numbered[0], "failed", reason),
            )
            with JobProgress(console, "ingest", len(entries)) as progress:
                async for results in _results(pool, entries, plan.batch_size(items, options.batch_size)):
                    await writer.add(results, progress)
                await writer.flush(progress)
            if writer.counts["ingested"] and not options.rules.dry_run:
                await celebrities.analyze()
            return IngestSummary(
                dict(writer.counts),
                time.monotonic() - started,
                report.path,
                excluded=listing.excluded,
                dry_run=options.rules.dry_run,
            )
    finally:
        await database.close()


async def _check_pack(celebrities: Celebrities, model: ModelInfo) -> None:
    """Refuse the gallery of another pack at once, not at the first picture that both have."""
    if other := await celebrities.other_pack(model.digest):
        raise PackMismatchError(
            f"The gallery in this database was embedded by the model pack {pack_title(other)}, not by "
            f"{model.pack} ({model.digest[:12]}). Embed it with this one first (`python -m batch.reembed`), "
            "set SEMBLANCE_PACK to the other, or SEMBLANCE_DATABASE_URL to another database."
        )


async def _results(
    pool: WorkerPool[NumberedItem, IngestResult], entries: Sequence[Entry], batch_size: int
) -> AsyncIterator[list[IngestResult]]:
    """One result for each entry, some at a time, in order. Those of items that were tried alone come last."""
    bad = deque(
        IngestResult(index, entry.outcome, entry.reason)
        for index, entry in enumerate(entries)
        if isinstance(entry, BadEntry)
    )
    async for _, results in pool.results(_batches(enumerate(entries), batch_size), in_order=True):
        merged = []
        for result in results:
            while bad and bad[0].index < result.index:
                merged.append(bad.popleft())
            merged.append(result)
        yield merged
    yield list(bad)


async def _batches(entries: Iterable[tuple[int, Entry]], size: int) -> AsyncIterator[list[NumberedItem]]:
    items = ((index, entry) for index, entry in entries if isinstance(entry, Item))
    while batch := list(islice(items, size)):
        yield batch
