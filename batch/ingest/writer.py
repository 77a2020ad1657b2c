"""Writes the results of an ingestion: rows to the database, lines to the report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from batch.ingest.outcomes import IngestOutcome, IngestResult
from batch.ingest.sources import Entry
from batch.progress import JobProgress
from batch.report import JobReport
from db.celebrities import Celebrities
from semblance.errors import PackMismatchError
from semblance.metrics import INGESTED
from semblance.tracing import begin

WRITE_ROWS = 256
"""Most rows of one COPY: well below a megabyte at some 3 kB a row."""

WRITE_EVERY_S = 1.0
"""Longest time that results wait to be written. A killed run has to do that much again."""


Follower: TypeAlias = Callable[[Sequence[tuple[Entry, IngestResult]]], Awaitable[None]]
"""Called with results that are in the database."""


class ResultWriter:
    """Writes results in the order in which they come: rows to the database, then lines to the report.

    counts: of what was written, by outcome.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        celebrities: Celebrities | None,
        report: JobReport,
        follow: Follower | None = None,
    ) -> None:
        self.counts: Counter[IngestOutcome] = Counter()
        self._entries = entries
        self._celebrities = celebrities
        self._report = report
        self._follow = follow
        self._first: dict[bytes, int] = {}
        self._pending: list[IngestResult] = []
        self._written = time.monotonic()

    async def add(self, results: Iterable[IngestResult], progress: JobProgress) -> None:
        """Take results. They are written once there are WRITE_ROWS, or after WRITE_EVERY_S."""
        self._pending.extend(map(self._deduplicated, results))
        if len(self._pending) >= WRITE_ROWS or time.monotonic() - self._written >= WRITE_EVERY_S:
            await self.flush(progress)

    async def flush(self, progress: JobProgress) -> None:
        """Write what was taken."""
        if not self._pending:
            return
        with begin("write pictures", pictures=len(self._pending)):
            await self._write_rows()
        self._report.write(_line(result, self._entries[result.index]) for result in self._pending)
        outcomes = Counter(result.outcome for result in self._pending)
        self.counts.update(outcomes)
        for outcome, count in outcomes.items():
            INGESTED.count(count, outcome=outcome)
        taken = {"ingested", "already_present"}
        rejected = sum(result.outcome not in taken for result in self._pending)
        progress.advance(len(self._pending), rejected)
        self._pending.clear()
        self._written = time.monotonic()

    async def _write_rows(self) -> None:
        rows = [result.row for result in self._pending if result.row is not None]
        if rows and self._celebrities is not None:
            copied = await self._celebrities.copy_in(rows)
            if copied.other_pack:
                raise PackMismatchError(
                    f"{copied.other_pack} of these pictures are already in the gallery, embedded by another "
                    "model pack, and were left alone. Use a separate database for each pack."
                )
        if self._follow is not None:
            await self._follow([(self._entries[result.index], result) for result in self._pending])

    def _deduplicated(self, result: IngestResult) -> IngestResult:
        """The result, as a duplicate if an earlier input was the same picture."""
        if result.outcome not in {"ingested", "already_present"} or result.image_hash is None:
            return result
        first = self._first.setdefault(bytes.fromhex(result.image_hash), result.index)
        if first == result.index:
            return result
        reason = f"the same picture as {self._entries[first].label}"
        return replace(result, outcome="duplicate", reason=reason, row=None)


def _line(result: IngestResult, entry: Entry) -> dict[str, object]:
    """The report's line on an input."""
    row = {} if entry.row is None else {"row": entry.row}
    return {"input": entry.label, **row, **result.line()}
