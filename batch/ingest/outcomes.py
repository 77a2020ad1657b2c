"""The outcome of each input of an ingestion, and the reason if it was not taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from rich.markup import escape
from rich.table import Table

from db.celebrities import CelebrityRow

IngestOutcome: TypeAlias = Literal[
    "ingested",
    "already_present",
    "duplicate",
    "no_face",
    "several_faces",
    "low_quality",
    "unreadable",
    "too_large",
    "missing",
    "invalid_metadata",
    "failed",
]

OUTCOMES: tuple[IngestOutcome, ...] = get_args(IngestOutcome)

MEANINGS: dict[IngestOutcome, str] = {
    "ingested": "written to the database",
    "already_present": "the database already has this picture",
    "duplicate": "the same picture as an earlier input",
    "no_face": "no face was found",
    "several_faces": "a second face is comparably large; --largest takes the larger",
    "low_quality": "the face is too blurred or badly lit; --min-quality sets the limit",
    "unreadable": "not a picture, damaged, or it could not be read",
    "too_large": "over the limit of bytes or pixels",
    "missing": "named, but the file does not exist",
    "invalid_metadata": "its name, gender or other text is invalid",
    "failed": "not the picture's fault; run the same command again",
}


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The outcome of one input.

    index: its place in the source's order. reason: why it was not taken, or empty. image_hash: hex MD5 of the
    file, if it was read. row: what to write, for the outcome ingested.
    """

    index: int
    outcome: IngestOutcome
    reason: str = ""
    image_hash: str | None = None
    row: CelebrityRow | None = None

    def line(self) -> dict[str, str]:
        """Its fields in the report."""
        line: dict[str, str] = {"outcome": self.outcome}
        if self.reason:
            line["reason"] = self.reason
        if self.image_hash is not None:
            line["image_hash"] = self.image_hash
        if self.row is not None:
            line |= {"id": str(self.row.id), "name": self.row.name}
        return line


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What a finished run did: how many inputs had each outcome, seconds from first to last, and the path of
    the report. excluded: how many files and folders were left out, by pattern."""

    counts: dict[IngestOutcome, int]
    seconds: float
    report: Path
    excluded: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False

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
                table.add_row(outcome, f"{count:,}", self._meaning(outcome))
        table.add_section()
        table.add_row(
            "all", f"{self.images:,}", f"{self.seconds:.1f} s, {self.images_per_second:.1f} images/s"
        )
        if left_out := sum(self.excluded.values()):
            patterns = ", ".join(sorted(self.excluded))
            table.add_row("excluded", f"{left_out:,}", f"files and folders like {escape(patterns)}")
        return table

    def _meaning(self, outcome: IngestOutcome) -> str:
        if outcome == "ingested" and self.dry_run:
            return f"would be {MEANINGS[outcome]}"
        return MEANINGS[outcome]
