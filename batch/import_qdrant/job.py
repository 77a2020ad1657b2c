"""The import of a Qdrant collection: its embeddings, written to the faces they belong to.

Reads all pages of the collection, checks each vector, and writes it to its face: the one whose row names the
point, if the table still has that column, else the one that the payload names. If neither exists, a face can
be made from the payload. What is in the database stays, so the same command completes an interrupted run.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.table import Table

from batch.import_qdrant.points import FIELDS, PayloadFields, Point, check_points
from batch.progress import JobProgress
from batch.report import JobReport, default_report_path
from db.face_embeddings import FaceCoverage, FaceEmbeddings
from db.pool import Database
from deployments.packs.registry import find_digest
from semblance.errors import PackMismatchError
from semblance.settings import Settings

EXAMPLES = 3
"""Points that the final table names for each reason."""

_UNKNOWN = "unknown face"


class PointSource(Protocol):
    """Where points come from; a context manager. The methods raise QdrantError."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def count(self) -> int:
        """The number of points."""

    def pages(self) -> Iterator[Sequence[Point]]:
        """All points, page by page."""


@dataclass(slots=True)
class QdrantImportSummary:
    """What an import did, and the state of the database after it.

    points: read from the collection. filled: faces that got their embedding. created: faces that were made.
    refused: points that were not written, by reason; examples: the first of each. creatable: points without a
    face from which one could be made. coverage: of the database.
    """

    report: Path
    points: int = 0
    filled: int = 0
    created: int = 0
    creatable: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    coverage: FaceCoverage = field(default_factory=lambda: FaceCoverage(0, 0))

    @property
    def present(self) -> int:
        """Points whose face already had this embedding."""
        return self.points - self.filled - self.created - self.refused.total()

    def refuse(self, refused: Sequence[tuple[str, str]]) -> None:
        """Count points that were not taken. refused: pairs of an id and the reason."""
        for identity, reason in refused:
            self.refused[reason] += 1
            if len(known := self.examples.setdefault(reason, [])) < EXAMPLES:
                known.append(identity)

    def table(self) -> Table:
        """For a terminal."""
        table = Table("what", "count", "for example")
        table.columns[1].justify = "right"
        table.add_row("points in the collection", f"{self.points:,}")
        table.add_row("faces filled", f"{self.filled:,}")
        if self.created:
            table.add_row("faces created", f"{self.created:,}")
        table.add_row("already there", f"{self.present:,}")
        for reason, count in sorted(self.refused.items()):
            table.add_row(f"not taken: {reason}", f"{count:,}", ", ".join(self.examples[reason]))
        table.add_section()
        table.add_row("faces in the database", f"{self.coverage.total:,}")
        table.add_row("with an embedding", f"{self.coverage.embedded:,} ({self.coverage.percent:.2f} %)")
        table.add_row("mismatches", f"{self.refused['another embedding'] + self.refused['another pack']:,}")
        return table


async def import_into_faces(
    source: PointSource,
    settings: Settings,
    console: Console,
    *,
    pack: str | None,
    fields: PayloadFields,
    create: bool,
) -> QdrantImportSummary:
    """Import a collection into the database of the settings.

    pack: name or digest of the pack that made the embeddings; None for that of the settings.

    Raises as `import_collection`, and PackMismatchError if no pack is named and faces have embeddings of
    another one.
    """
    database = await Database.connect(settings.required_database_url.get_secret_value(), pool_size=1)
    try:
        digest = find_digest(pack or settings.pack, settings)
        if pack is None:
            await _check_pack(database, settings.pack, digest)
        report = default_report_path(settings.home, "import-qdrant")
        return await import_collection(
            source, pack_digest=digest, database=database, report=report, console=console, fields=fields,
            create=create,
        )  # fmt: skip
    finally:
        await database.close()


async def _check_pack(database: Database, pack: str, digest: str) -> None:
    """Raise PackMismatchError if faces have embeddings of another pack: those of the collection are then more
    likely of that pack than of the one in this service's settings."""
    if other := await FaceEmbeddings(database).other_pack(digest):
        raise PackMismatchError(
            f"Faces here have embeddings of a model pack other than {pack}. Say which pack made those of the "
            f"collection: --pack {other} if it is the same one, --pack {pack} if it is that one."
        )


async def import_collection(
    source: PointSource,
    *,
    pack_digest: str,
    database: Database,
    report: Path,
    console: Console,
    fields: PayloadFields = FIELDS,
    create: bool = False,
) -> QdrantImportSummary:
    """Import all points. Each refused one is a JSON line in `report` with its id and the reason.

    Args:
        pack_digest: Of the pack that made the embeddings.
        create: Make faces from points without one whose payloads say enough. Their profiles must exist.

    Raises QdrantError if the collection cannot be read, DatabaseError, and ConfigurationError if the report
    cannot be written.
    """
    faces = FaceEmbeddings(database)
    result = QdrantImportSummary(report)
    total = await asyncio.to_thread(source.count)
    with JobReport(report) as lines, JobProgress(console, "import", total) as progress:
        pages = source.pages()
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            links = await faces.of_points([point.id for point in page])
            checked = check_points(page, links, source.name, fields)
            written = await faces.fill(checked.embeddings, pack_digest, checked.new if create else None)
            refused = checked.refused
            for face_id, reason in written.refused.items():
                if reason == _UNKNOWN and face_id in checked.lacking:
                    reason = f"{reason}; {checked.lacking[face_id]}"  # noqa: PLW2901 - the same, in full
                result.creatable += reason == _UNKNOWN
                refused.append((checked.names.get(face_id, str(face_id)), reason))
            lines.write({"id": identity, "reason": reason} for identity, reason in refused)
            result.refuse(refused)
            result.points += len(page)
            result.filled += written.filled
            result.created += written.created
            progress.advance(len(page), len(refused))
    result.coverage = await faces.coverage()
    return result
