"""Writes what became of the inputs: rows to the database, lines to the report."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from batch.ingest.outcomes import IngestOutcome, IngestResult
from batch.ingest.sources import Entry
from batch.progress import JobProgress
from batch.report import JobReport
from db.celebrities import Celebrities
from semblance.errors import PackMismatchError

WRITE_ROWS = 256
"""Most rows of one COPY: at some 3 kB a row well below a megabyte."""

WRITE_EVERY_S = 1.0
"""Longest time that results wait to be written; what a killed run has to do again."""


class ResultWriter:
    """Writes results in the order they come: rows to the database, then their lines to the report."""

    def __init__(self, entries: Sequence[Entry], celebrities: Celebrities | None, report: JobReport) -> None:
        self.counts: Counter[IngestOutcome] = Counter()
        self._entries = entries
        self._celebrities = celebrities
        self._report = report
        self._first: dict[bytes, int] = {}
        self._pending: list[IngestResult] = []
        self._written = time.monotonic()

    async def add(self, results: Iterable[IngestResult], progress: JobProgress) -> None:
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

    def _deduplicated(self, result: IngestResult) -> IngestResult:
        """Of equal pictures the first input counts: results come in the order of the inputs."""
        if result.outcome not in {"ingested", "already_present"} or result.image_hash is None:
            return result
        first = self._first.setdefault(bytes.fromhex(result.image_hash), result.index)
        if first == result.index:
            return result
        reason = f"the same picture as {self._entries[first].label}"
        return replace(result, outcome="duplicate", reason=reason, row=None)


def _line(result: IngestResult, entry: Entry) -> dict[str, object]:
    """The line of the report on an input."""
    row = {} if entry.row is None else {"row": entry.row}
    return {"input": entry.label, **row, **result.line()}
