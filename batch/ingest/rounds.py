"""An ingestion from the console: all inputs once, then those on which an operator decided, until nothing is
left. Its rows say how far it is, so that a job that died is repeated by the next one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid5

from batch.ingest.entries import BadEntry, Entry, Item
from batch.ingest.outcomes import IngestOutcome, IngestResult, IngestSummary
from batch.ingest.sources import Listing, list_source
from batch.ingest.spelling import storable
from batch.ingest.uploads import unpack, uploaded_listing
from batch.ingest.writer import Follower
from db.ingestions import Decision, Ingestions, IngestionWork, NewRefusal
from semblance.settings import Settings
from semblance.storage.store import Storage

PREFIX = "ingestion:"
"""Before the id of an ingestion, as the source of a job."""

Run: TypeAlias = Callable[[Listing, Follower], Awaitable[IngestSummary]]

_PRESENT = frozenset({"already_present", "duplicate"})


def ingestion_of(source: str) -> UUID | None:
    """The ingestion that a source names; None for other sources."""
    try:
        return UUID(source.removeprefix(PREFIX)) if source.startswith(PREFIX) else None
    except ValueError:
        return None


async def work_off(
    ingestion_id: UUID, ingestions: Ingestions, storage: Storage, settings: Settings, run: Run
) -> IngestSummary:
    """Do what there is to do of an ingestion.

    run: ingests a listing. Raises what it raises, NotFoundError, and SourceError for a source that cannot be
    read.
    """
    work = await ingestions.begin(ingestion_id)
    log = _RoundLog(ingestion_id, ingestions, work)
    summaries: list[IngestSummary] = []
    if not work.listed:
        listing = await _listing(ingestion_id, work, ingestions, storage, settings)
        await ingestions.set_total(ingestion_id, len(listing.entries))
        summaries.append(await run(listing, log.first))
        await ingestions.set_listed(ingestion_id)
    while True:
        if decided := await ingestions.decided(ingestion_id):
            entries: list[Entry] = [decided_item(item, decision) for item, decision in decided]
            summaries.append(await run(Listing(entries), log.again))
        if await ingestions.finish(ingestion_id):
            return _together(summaries)


def decided_item(item: dict[str, Any], decision: Decision) -> Item:
    """A refused picture as it is tried again."""
    person = item["person"]
    accept = {"largest": "largest", "anyway": "any"}.get(decision, item["accept"])
    return Item(**{**item, "person": None if person is None else UUID(person), "accept": accept})


async def _listing(
    ingestion_id: UUID, work: IngestionWork, ingestions: Ingestions, storage: Storage, settings: Settings
) -> Listing:
    if work.source is not None:
        return await asyncio.to_thread(list_source, work.source, work.category)
    await unpack(ingestion_id, ingestions, storage, settings)
    return await uploaded_listing(await ingestions.files(ingestion_id), storage, work.category)


class _RoundLog:
    """Writes what became of the inputs into the rows of the ingestion."""

    def __init__(self, ingestion_id: UUID, ingestions: Ingestions, work: IngestionWork) -> None:
        self._ingestion_id = ingestion_id
        self._ingestions = ingestions
        self._before = 0 if work.listed else work.taken
        self._taken = work.taken
        self._present = work.present if work.listed else 0
        self._done = 0

    async def first(self, results: Sequence[tuple[Entry, IngestResult]]) -> None:
        """Of the first round."""
        self._done += len(results)
        self._present += sum(result.outcome in _PRESENT for _, result in results)
        # What a job that died had taken is in the gallery already.
        await self._write(results, self._done, max(0, self._present - self._before))

    async def again(self, results: Sequence[tuple[Entry, IngestResult]]) -> None:
        """Of a later one, which tries pictures that were counted."""
        await self._write(results, None, None)

    async def _write(
        self, results: Sequence[tuple[Entry, IngestResult]], done: int | None, present: int | None
    ) -> None:
        added = sum(result.outcome == "ingested" for _, result in results)
        self._taken += added
        refused: dict[UUID, NewRefusal] = {}
        settled: list[UUID] = []
        for entry, result in results:
            identity = self._id(entry)
            if result.outcome == "ingested" or result.outcome in _PRESENT:
                settled.append(identity)
                continue
            refused[identity] = NewRefusal(
                identity, storable(entry.label), _jsonable(entry), result.outcome, storable(result.reason)
            )
        await self._ingestions.record(
            self._ingestion_id,
            done=done,
            taken=self._taken,
            added=added,
            present=present,
            refused=list(refused.values()),
            settled=settled,
        )

    def _id(self, entry: Entry) -> UUID:
        name = f"{entry.row} {entry.label}" if isinstance(entry, BadEntry) else entry.location
        return uuid5(self._ingestion_id, storable(name))


def _jsonable(entry: Entry) -> dict[str, Any] | None:
    """An item as a row can hold it; None if there is nothing to try again, or it could not be found by what
    the row would hold."""
    if isinstance(entry, BadEntry) or entry.location != storable(entry.location):
        return None
    return {
        **asdict(entry),
        "label": storable(entry.label),
        "person": None if entry.person is None else str(entry.person),
    }


def _together(summaries: Sequence[IngestSummary]) -> IngestSummary:
    counts: Counter[IngestOutcome] = Counter()
    for summary in summaries:
        counts.update(summary.counts)
    return IngestSummary(
        dict(counts),
        sum(summary.seconds for summary in summaries),
        summaries[-1].report if summaries else Path(),
    )
