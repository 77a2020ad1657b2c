"""A change of the model pack: a second embedding of every face and celebrity, and the switch to it.

The second embeddings are made from the stored pictures while the pack in use goes on serving. They lie in
separate tables (see `db.spare_embeddings`). A switch builds their vector index and then puts the pack in
force, which changes one row. All embeddings stay, so the way back is the same command with the old pack's
name. It also embeds the faces that came in between, which an undo would leave behind.

One process reads rows and writes embeddings; a pool of Ray actors reads pictures and runs the nets. A row is
pending until it has an embedding of the pack, and each batch is written in one transaction. So a run that was
killed and is started again does what is left, and ends with the rows of an undisturbed one. The switch needs
the rights of the database's owner: the application, which faces the internet, may not change the gallery.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from rich.console import Console
from rich.table import Table as TerminalTable

from batch.cluster import LOCAL, plan_cluster_pool, ray_session
from batch.progress import JobProgress
from batch.reembed.overlap import Overlap, measure_overlap
from batch.reembed.worker import (
    MEANINGS,
    OUTCOMES,
    ReembedOutcome,
    ReembedResult,
    ReembedWorker,
    TableRow,
)
from batch.report import JobReport, default_report_path
from batch.storage_check import open_answering_storage
from batch.workers import WorkerPool
from db.logins import owner_dsn
from db.pool import Database
from db.spare_embeddings import TABLES, PackCoverage, SpareEmbeddings, Table
from deployments.packs.registry import find_pack, load_pack
from matching.store import Matching
from semblance.errors import ConflictError
from semblance.settings import Settings
from semblance.tracing import begin
from semblance.types import ModelInfo

BATCH_SIZE = 32
"""Pictures that one worker holds at a time, at most 320 MB at 10 MB a picture; and rows of one
transaction."""

PAGE = 4096
"""Rows read at a time."""

SAMPLE = 500
"""Faces compared before and after: enough to know a mean share within about two per cent."""

COMMAND_SECONDS = 86400.0
"""Time limit of one database command. For the overlap a million celebrities are read, 5 GB; the vector index
of ten million embeddings takes hours."""


@dataclass(frozen=True, slots=True)
class ReembedOptions:
    """How to fill the spare embeddings. address: of Ray, or LOCAL. actors: size of the pool, None for one per
    core. report: file, None for the default."""

    address: str = LOCAL
    batch_size: int = BATCH_SIZE
    actors: int | None = None
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class ReembedSummary:
    """What a run did, and the state of the database after it. counts: the rows it tried, by outcome.
    coverage: of the whole database, by table. in_force: whether the pack is in force."""

    model: ModelInfo
    counts: dict[ReembedOutcome, int]
    coverage: dict[Table, PackCoverage]
    in_force: bool
    seconds: float
    report: Path

    @property
    def missing(self) -> int:
        """Rows without an embedding of the pack."""
        return sum(part.missing for part in self.coverage.values())

    @property
    def embedded(self) -> int:
        """Rows that have one."""
        return sum(part.embedded for part in self.coverage.values())

    def tables(self) -> Iterable[TerminalTable]:
        """For a terminal."""
        if self.counts:
            outcomes = TerminalTable("outcome", "", "meaning")
            outcomes.columns[1].justify = "right"
            for outcome in OUTCOMES:
                if count := self.counts.get(outcome, 0):
                    outcomes.add_row(outcome, f"{count:,}", MEANINGS[outcome])
            tried = sum(self.counts.values())
            rate = tried / max(self.seconds, 1e-9)
            outcomes.add_section()
            outcomes.add_row("all", f"{tried:,}", f"{self.seconds:.1f} s, {rate:.1f} pictures/s")
            yield outcomes
        table = TerminalTable(f"of pack {self.model.pack}", *TABLES)
        for label, name in (
            ("embedded", "embedded"),
            ("missing", "missing"),
            ("not embedded by any pack yet", "undescribed"),
        ):
            table.add_row(label, *(f"{getattr(self.coverage[kind], name):,}" for kind in TABLES))
        for column in table.columns[1:]:
            column.justify = "right"
        yield table


async def fill(
    options: ReembedOptions, settings: Settings, model: ModelInfo, console: Console
) -> ReembedSummary:
    """Embed all rows that have no embedding by the pack of the settings. model: that pack.

    Pictures that cannot be embedded are lines of the report. Raises ConfigurationError, DatabaseError,
    StorageError, WorkersError.
    """
    async with _connected(settings) as database:
        spare = SpareEmbeddings(database)
        coverage = await spare.coverage(model.digest)
        missing = sum(part.missing for part in coverage.values())
        if missing:
            await open_answering_storage(settings)
        started = time.monotonic()
        counts: Counter[ReembedOutcome] = Counter()
        with JobReport(options.report or default_report_path(settings.home, "reembed")) as report:
            if missing:
                with (
                    ray_session(options.address),
                    JobProgress(console, "reembed", missing, aside="not embedded") as progress,
                ):
                    plan = plan_cluster_pool(options.actors, settings.execution_provider).for_items(missing)
                    console.print(
                        f"{missing:,} pictures, {plan.actors} workers, pack {model.pack} {model.digest[:12]}",
                        highlight=False,
                        soft_wrap=True,
                    )
                    shown = settings.without_secrets()
                    pool: WorkerPool[TableRow, ReembedResult] = WorkerPool(
                        ReembedWorker,
                        (shown, model.digest),
                        shown,
                        plan,
                        failed=lambda _, reason: ReembedResult("failed", reason),
                    )
                    batches = _pending(spare, model.digest, plan.batch_size(missing, options.batch_size))
                    async for rows, results in pool.results(batches, in_order=False):
                        await _write(spare, model.digest, rows, results)
                        report.write(_lines(rows, results))
                        counts.update(result.outcome for result in results)
                        embedded = sum(result.embedding is not None for result in results)
                        progress.advance(len(results), len(results) - embedded)
            coverage = await spare.coverage(model.digest)
            in_force = await spare.in_force() in {None, model.digest}
            seconds = time.monotonic() - started
            return ReembedSummary(model, dict(counts), coverage, in_force, seconds, report.path)


async def _pending(spare: SpareEmbeddings, pack_digest: str, size: int) -> AsyncIterator[list[TableRow]]:
    """Batches, each of one table."""
    for table in TABLES:
        last: UUID | None = None
        while rows := await spare.pending(table, pack_digest, last, PAGE):
            last = rows[-1].id
            for start in range(0, len(rows), size):
                yield [(table, row) for row in rows[start : start + size]]


async def _write(
    spare: SpareEmbeddings, pack_digest: str, rows: Sequence[TableRow], results: Sequence[ReembedResult]
) -> None:
    """Store the embeddings of a batch."""
    embeddings = {
        row.id: result.embedding
        for (_, row), result in zip(rows, results, strict=True)
        if result.embedding is not None
    }
    if embeddings:
        table, _ = rows[0]
        with begin("write embeddings", pictures=len(embeddings)):
            await spare.add(table, embeddings, pack_digest)


def _lines(rows: Sequence[TableRow], results: Sequence[ReembedResult]) -> Iterator[dict[str, str]]:
    """The report's lines on the rows that got no embedding."""
    for (table, row), result in zip(rows, results, strict=True):
        if result.embedding is None:
            yield {
                "table": table,
                "id": str(row.id),
                "image_path": row.image_path,
                "outcome": result.outcome,
                "reason": result.reason,
            }


async def compare(settings: Settings, model: ModelInfo, sample: int) -> Overlap | None:
    """How much a switch to this pack would change the best celebrities of up to `sample` faces; None if no
    face, or no celebrity, has both embeddings. Raises DatabaseError."""
    async with _connected(settings) as database:
        spare = SpareEmbeddings(database)
        old = await spare.in_force()
        if old is None or old == model.digest or not sample:
            return None
        rules = await Matching(database).rules()
        return await measure_overlap(spare, rules, old=old, new=model.digest, sample=sample)


async def check_owner(settings: Settings) -> None:
    """Raise ConfigurationError if no login is configured that may switch."""
    async with _connected(settings, as_owner=True) as database:
        await SpareEmbeddings(database).check_owner()


async def switch(
    settings: Settings, model: ModelInfo, console: Console, *, allow_missing: int = 0
) -> dict[Table, int]:
    """Build the vector indexes that searches by the pack need, and put it in force; returns how many rows
    have an embedding of it, by table.

    Raises ConflictError if more than `allow_missing` rows have none, or all; ConfigurationError,
    DatabaseError.
    """
    async with _connected(settings, as_owner=True) as database:
        spare = SpareEmbeddings(database)
        with console.status("building vector indexes; searches go on"):
            await spare.build_indexes(model.digest)
        return await spare.switch(model.digest, allow_missing)


async def drop(settings: Settings, pack_digest: str, console: Console) -> dict[Table, int]:
    """Remove the embeddings of a pack that is not in force; returns of how many rows, by table. Raises
    DatabaseError, ConfigurationError, and ConflictError if the pack is in force or has none."""
    async with _connected(settings, as_owner=True) as database:
        spare = SpareEmbeddings(database)
        total = sum(part.embedded for part in (await spare.coverage(pack_digest)).values())
        if not total and not await spare.is_indexed(pack_digest):
            raise ConflictError(f"There are no embeddings of the pack {pack_digest[:12]}.")
        with JobProgress(console, "drop", total, aside="steps") as progress:
            return await spare.drop(pack_digest, lambda done: progress.advance(done, 1))


@asynccontextmanager
async def _connected(settings: Settings, *, as_owner: bool = False) -> AsyncIterator[Database]:
    dsn = settings.required_database_url.get_secret_value()
    if as_owner:
        # For the embedded server the owner's login follows from the application's.
        given = settings.owner_database_url
        dsn = owner_dsn(dsn) if given is None else given.get_secret_value()
    database = await Database.connect(dsn, pool_size=2, command_seconds=COMMAND_SECONDS)
    try:
        yield database
    finally:
        await database.close()


def choose_pack(settings: Settings, pack: str) -> tuple[Settings, ModelInfo]:
    """The settings with another pack, and that pack. Raises PackError."""
    # By its absolute folder: workers have another working directory.
    chosen = settings.model_copy(update={"pack": str(find_pack(pack, settings))})
    return chosen, load_pack(chosen).info
