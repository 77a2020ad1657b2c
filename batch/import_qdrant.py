"""Embeddings of the old system's Qdrant collection into the faces they belong to.

Reads all pages of the collection, checks each vector, and writes it to the face its payload names. What is
there already stays, so a run that was interrupted is completed by the same command.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import numpy as np
import typer
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException
from rich.console import Console
from rich.table import Table

from batch.command import job_command
from batch.progress import JobProgress
from batch.report import Report, default_report_path
from db.face_embeddings import Coverage, FaceEmbeddings
from db.pool import Database
from deployments.packs.registry import load_pack
from semblance.errors import ConfigurationError, SemblanceError
from semblance.settings import Settings
from semblance.types import EMBEDDING_SIZE, Embedding, ModelInfo

PAGE = 1000
"""Points of one request and rows of one transaction: 2 MB of vectors."""

NORM_TOLERANCE = 0.02
"""How far a vector's length may be from 1. Qdrant normalises vectors of a cosine collection to float32
precision; a vector further away was not made by the net alone."""


class QdrantError(SemblanceError):
    """The collection cannot be read."""

    code = "qdrant"
    status = 503


@dataclass(slots=True)
class Verification:
    """What an import found and left.

    points: read from the collection. filled: faces that got their embedding. refused: points by reason, none
    of which was written. coverage: of the database afterwards.
    """

    report: Path
    points: int = 0
    filled: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    coverage: Coverage = field(default_factory=lambda: Coverage(0, 0))

    @property
    def present(self) -> int:
        """Points whose face had just this embedding already."""
        return self.points - self.filled - self.refused.total()

    def table(self) -> Table:
        """For a terminal."""
        table = Table("what", "count")
        table.columns[1].justify = "right"
        table.add_row("points in the collection", f"{self.points:,}")
        table.add_row("faces filled", f"{self.filled:,}")
        table.add_row("already there", f"{self.present:,}")
        for reason, count in sorted(self.refused.items()):
            table.add_row(f"not taken: {reason}", f"{count:,}")
        table.add_section()
        table.add_row("faces in the database", f"{self.coverage.total:,}")
        table.add_row("with an embedding", f"{self.coverage.embedded:,} ({self.coverage.percent:.2f} %)")
        table.add_row("mismatches", f"{self.refused['another embedding'] + self.refused['another pack']:,}")
        return table


async def import_collection(
    client: QdrantClient,
    collection: str,
    *,
    model: ModelInfo,
    database: Database,
    report: Path,
    console: Console,
) -> Verification:
    """Import all points; each refused one is a JSON line in `report` with its id and the reason.

    Raises QdrantError where the collection cannot be read, DatabaseError, and ConfigurationError where the
    report cannot be written.
    """
    faces = FaceEmbeddings(database)
    result = Verification(report)
    total = await asyncio.to_thread(_count, client, collection)
    with Report(report) as lines, JobProgress(console, "import", total) as progress:
        pages = _pages(client, collection)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            embeddings, refused = _checked(page)
            written = await faces.fill(embeddings, model.digest)
            refused += [(str(face_id), reason) for face_id, reason in written.refused.items()]
            lines.write({"id": identity, "reason": reason} for identity, reason in refused)
            result.refused.update(reason for _, reason in refused)
            result.points += len(page)
            result.filled += written.filled
            progress.advance(len(page), len(refused))
    result.coverage = await faces.coverage()
    return result


def _checked(page: Sequence[models.Record]) -> tuple[dict[UUID, Embedding], list[tuple[str, str]]]:
    """Unit vectors by face, and what is none: pairs of an id and the reason."""
    embeddings: dict[UUID, Embedding] = {}
    refused: list[tuple[str, str]] = []
    for point in page:
        face_id = _face_id(point)
        vector = _vector(point)
        if face_id is None:
            refused.append((str(point.id), "no face_id"))
        elif face_id in embeddings:
            refused.append((str(point.id), "a second point of the face"))
        elif isinstance(vector, str):
            refused.append((str(point.id), vector))
        else:
            embeddings[face_id] = vector
    return embeddings, refused


def _face_id(point: models.Record) -> UUID | None:
    """The payload's face_id; the point's own id where it is a UUID and the payload names no face."""
    try:
        return UUID(str((point.payload or {}).get("face_id", point.id)))
    except ValueError:
        return None


def _vector(point: models.Record) -> Embedding | str:
    """The vector at unit length, or what is wrong with it."""
    given: Any = point.vector
    if isinstance(given, dict):
        given = next(iter(given.values())) if len(given) == 1 else None
    try:
        vector = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        return "no single vector"
    if vector.shape != (EMBEDDING_SIZE,):
        return f"not {EMBEDDING_SIZE} numbers"
    norm = float(np.linalg.norm(vector))
    if not abs(norm - 1) <= NORM_TOLERANCE:
        return "not of unit length"
    unit: Embedding = vector / np.float32(norm)
    return unit


def _count(client: QdrantClient, collection: str) -> int:
    try:
        return client.count(collection).count
    except (ApiException, ValueError) as exc:
        raise QdrantError(f"The collection {collection} cannot be read: {_first_line(exc)}") from exc


def _pages(client: QdrantClient, collection: str) -> Iterator[Sequence[models.Record]]:
    offset = None
    while True:
        try:
            page, offset = client.scroll(collection, limit=PAGE, offset=offset, with_vectors=True)
        except (ApiException, ValueError) as exc:
            raise QdrantError(f"The collection {collection} cannot be read: {_first_line(exc)}") from exc
        if page:
            yield page
        if offset is None:
            return


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def open_client(url: str, api_key: str | None) -> QdrantClient:
    """A client of `http(s)://…`, or of a folder that qdrant-client itself keeps (its local mode).

    Raises ConfigurationError for a folder that is none.
    """
    if url.startswith(("http://", "https://")):
        return QdrantClient(url=url, api_key=api_key, timeout=60)
    if not Path(url).is_dir():
        raise ConfigurationError(f"{url} is neither an http address nor a folder.")
    # Pages are read in a thread, of which sqlite asks to be the one that opened it.
    return QdrantClient(path=url, force_disable_check_same_thread=True)


async def _run(url: str, collection: str, api_key: str | None, settings: Settings) -> Verification:
    client = open_client(url, api_key)
    database = await Database.connect(settings.required_database_url.get_secret_value(), pool_size=1)
    try:
        report = default_report_path(settings.home, "import-qdrant")
        model = load_pack(settings).info
        return await import_collection(
            client, collection, model=model, database=database, report=report, console=Console()
        )
    finally:
        client.close()
        await database.close()


def main(
    url: Annotated[str, typer.Argument(help="http(s) address of Qdrant, or a folder of its local mode.")],
    *,
    collection: Annotated[str, typer.Option(help="Name of the collection.")] = "faces",
    api_key: Annotated[
        str | None, typer.Option(envvar="QDRANT_API_KEY", help="Key of the server.", show_envvar=True)
    ] = None,
) -> None:
    """Take over the embeddings of a Qdrant collection into `faces`, by the payload's face_id.

    The embeddings are recorded as those of the pack in SEMBLANCE_PACK, so name the one that made them. A face
    that has an embedding keeps it; another one in the collection is reported as a mismatch. Ends with the
    report of what the database has now; the exit status is 1 when a point was not taken.

    \b
      SEMBLANCE_PACK=buffalo_l python -m batch.import_qdrant http://qdrant:6333
      python -m batch.import_qdrant ./qdrant_storage --collection faces
    """
    console = Console()
    with job_command() as settings:
        result = asyncio.run(_run(url, collection, api_key, settings))
    console.print(result.table())
    if result.refused:
        console.print(f"report: {result.report}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
