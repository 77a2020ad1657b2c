"""The report of an ingestion: one JSON line per input, and a table of the counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.table import Table

from batch.outcomes import MEANINGS, OUTCOMES, Outcome, Result
from semblance.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Summary:
    """What a finished run did: how many inputs had each outcome, seconds from first to last, and where
    the report is."""

    counts: dict[Outcome, int]
    seconds: float
    report: Path

    @property
    def images(self) -> int:
        return sum(self.counts.values())

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)

    def table(self) -> Table:
        """The counts as a table for a terminal."""
        table = Table("outcome", "", title=None)
        table.columns[1].justify = "right"
        table.add_column("meaning")
        for outcome in OUTCOMES:
            if count := self.counts.get(outcome, 0):
                table.add_row(outcome, f"{count:,}", MEANINGS[outcome])
        table.add_section()
        table.add_row(
            "all", f"{self.images:,}", f"{self.seconds:.1f} s, {self.images_per_second:.1f} images/s"
        )
        return table


class Report:
    """Writes the lines, in the order of the calls; a context manager. After `write` returns, the lines
    survive the end of the process."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigurationError where the file cannot be written."""
        self.path = path
        self.counts: Counter[Outcome] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="ascii")
        except OSError as exc:
            reason = exc.strerror or exc
            raise ConfigurationError(f"The report {path} cannot be written: {reason}.") from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, results: Sequence[tuple[str, Result]]) -> None:
        """Add one line per input: its label and its result."""
        for label, result in results:
            line: dict[str, str] = {"input": label, "outcome": result.outcome}
            if result.reason:
                line["reason"] = result.reason
            if result.image_hash is not None:
                line["image_hash"] = result.image_hash
            if result.row is not None:
                line |= {"id": str(result.row.id), "name": result.row.name}
            self._file.write(json.dumps(line) + "\n")
            self.counts[result.outcome] += 1
        self._file.flush()


def default_report_path(home: Path, job: str) -> Path:
    """A name in `home`/reports that no other run of this job, or of another, has."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return home / "reports" / f"{job}-{stamp}.jsonl"
