"""Embeddings of the old system's Qdrant collection into the faces they belong to.

Reads all pages of the collection, checks each vector, and writes it to its face: the one whose row names the
point, as the old system's column does, else the one that the payload names. Where there is none, a face is
made of the payload if that is wanted. What is there already stays, so a run that was interrupted is completed
by the same command."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid5

import numpy as np
import typer
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException
from rich.console import Console
from rich.table import Table

from batch.command import job_command
from batch.progress import JobProgress
from batch.report import Report, default_report_path
from db.face_embeddings import Coverage, FaceEmbeddings, NewFace
from db.pool import Database
from deployments.packs.registry import find_digest
from semblance.errors import ConfigurationError, PackMismatchError, QdrantError
from semblance.settings import Settings
from semblance.types import EMBEDDING_SIZE, Embedding

PAGE = 1000
"""Points of one request and rows of one transaction: 2 MB of vectors."""

NORM_TOLERANCE = 0.02
"""How far a vector's length may be from 1. Qdrant normalises vectors of a cosine collection to float32
precision; a vector further away was not made by the net alone."""


EXAMPLES = 3
"""Points that the final table names for each reason."""

_NAMESPACE = UUID("6f1c1f52-3a3e-5d0b-9b56-0f6c1c1a7d21")
"""Ids of new faces whose points have no UUID are the UUIDv5 of collection and point in it, the same in each
run."""


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the fields in the payloads. The last two are used where they are there."""

    face: str = "face_id"
    profile: str = "profile_id"
    path: str = "image_path"
    hash: str = "image_hash"
    time: str = "created_at"


FIELDS = Fields()

_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class Verification:
    """What an import found and left.

    points: read from the collection. filled: faces that got their embedding. created: faces that were made.
    refused: points by reason, none of which was written; examples: the first of each. creatable: points
    without a face of which one could be made. coverage: of the database afterwards.
    """

    report: Path
    points: int = 0
    filled: int = 0
    created: int = 0
    creatable: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=lambda: Coverage(0, 0))

    @property
    def present(self) -> int:
        """Points whose face had just this embedding already."""
        return self.points - self.filled - self.created - self.refused.total()

    def refuse(self, refused: Sequence[tuple[str, str]]) -> None:
        """Count points that were not taken: pairs of an id and the reason."""
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


async def import_collection(
    client: QdrantClient,
    collection: str,
    *,
    pack_digest: str,
    database: Database,
    report: Path,
    console: Console,
    fields: Fields = FIELDS,
    create: bool = False,
) -> Verification:
    """Import all points; each refused one is a JSON line in `report` with its id and the reason.

    pack_digest: of the pack that made the embeddings. create: make faces of points that have none and whose
    payloads say enough. Their profiles must exist.

    Raises QdrantError where the collection cannot be read, DatabaseError, and ConfigurationError where the
    report cannot be written.
    """
    faces = FaceEmbeddings(database)
    result = Verification(report)
    total = await asyncio.to_thread(_count, client, collection)
    with Report(report) as lines, JobProgress(console, "import", total) as progress:
        pages = _pages(client, collection)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            links = await faces.of_points([str(point.id) for point in page])
            checked = _check(page, links, collection, fields)
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


_UNKNOWN = "unknown face"


@dataclass(slots=True)
class _Checked:
    """A page. embeddings: unit vectors by face. new: what the payloads say of these faces, and lacking: what
    they do not say of others. refused: pairs of an id and the reason."""

    embeddings: dict[UUID, Embedding] = field(default_factory=dict)
    new: dict[UUID, NewFace] = field(default_factory=dict)
    lacking: dict[UUID, str] = field(default_factory=dict)
    names: dict[UUID, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)


def _check(
    page: Sequence[models.Record], links: Mapping[str, UUID], collection: str, fields: Fields
) -> _Checked:
    checked = _Checked()
    for point in page:
        payload = point.payload or {}
        new = _new_face(payload, fields)
        face_id = links.get(str(point.id)) or _uuid(payload.get(fields.face, point.id))
        if face_id is None and isinstance(new, NewFace):
            face_id = uuid5(_NAMESPACE, f"{collection}/{point.id}")
            checked.names[face_id] = str(point.id)
        vector = _vector(point)
        if face_id is None:
            checked.refused.append((str(point.id), f"no {fields.face}; {new}"))
        elif face_id in checked.embeddings:
            checked.refused.append((str(point.id), "a second point of the face"))
        elif isinstance(vector, str):
            checked.refused.append((str(point.id), vector))
        else:
            checked.embeddings[face_id] = vector
            if isinstance(new, NewFace):
                checked.new[face_id] = new
            else:
                checked.lacking[face_id] = new
    return checked


def _new_face(payload: Mapping[str, Any], fields: Fields) -> NewFace | str:
    """The face that the payload describes, or what it lacks for that."""
    profile_id, path = _uuid(payload.get(fields.profile)), payload.get(fields.path)
    has_path = isinstance(path, str) and bool(path.strip()) and path.isprintable()
    lacking = [
        name for name, is_there in ((fields.profile, profile_id), (fields.path, has_path)) if not is_there
    ]
    if profile_id is None or not isinstance(path, str) or lacking:
        return f"the payload has no {' and no '.join(lacking)}"
    image_hash = payload.get(fields.hash)
    if not isinstance(image_hash, str) or not _HASH.fullmatch(image_hash):
        image_hash = None
    return NewFace(profile_id, path.strip(), image_hash, _time(payload.get(fields.time)))


def _time(value: object) -> datetime | None:
    """A time in ISO 8601, or in seconds since 1970; UTC where it does not say. None for anything else."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
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


async def _run(
    url: str,
    collection: str,
    api_key: str | None,
    pack: str | None,
    *,
    settings: Settings,
    fields: Fields,
    create: bool,
) -> Verification:
    client = open_client(url, api_key)
    database = await Database.connect(settings.required_database_url.get_secret_value(), pool_size=1)
    try:
        digest = find_digest(pack or settings.pack, settings)
        if pack is None:
            await check_packs(database, settings.pack, digest)
        report = default_report_path(settings.home, "import-qdrant")
        return await import_collection(
            client, collection, pack_digest=digest, database=database, report=report, console=Console(),
            fields=fields, create=create,
        )  # fmt: skip
    finally:
        client.close()
        await database.close()


async def check_packs(database: Database, pack: str, digest: str) -> None:
    """Raise PackMismatchError where faces have embeddings of another pack: the collection's are more likely
    of that one than of the one that this service happens to be set to."""
    if other := await FaceEmbeddings(database).other_pack(digest):
        raise PackMismatchError(
            f"Faces here have embeddings of another model pack than {pack}. Say which one made those of the "
            f"collection: --pack {other} where it is the same, --pack {pack} where it is that one."
        )


def main(
    url: Annotated[str, typer.Argument(help="http(s) address of Qdrant, or a folder of its local mode.")],
    *,
    collection: Annotated[str, typer.Option(help="Name of the collection.")] = "faces",
    api_key: Annotated[
        str | None, typer.Option(envvar="QDRANT_API_KEY", help="Key of the server.", show_envvar=True)
    ] = None,
    pack: Annotated[
        str | None,
        typer.Option(
            help="Name or digest of the pack that made the embeddings. "
            "[default: the one in SEMBLANCE_PACK, where all faces are of it]"
        ),
    ] = None,
    create: Annotated[
        bool, typer.Option("--create", help="Make faces of points that have none, for profiles that exist.")
    ] = False,
    face_field: Annotated[str, typer.Option(help="Payload field with the id of the face.")] = FIELDS.face,
    profile_field: Annotated[str, typer.Option(help="With the id of its profile.")] = FIELDS.profile,
    path_field: Annotated[str, typer.Option(help="With the path of its picture.")] = FIELDS.path,
    hash_field: Annotated[str, typer.Option(help="With the MD5 of its picture, if any.")] = FIELDS.hash,
    time_field: Annotated[str, typer.Option(help="With the time of its upload, if any.")] = FIELDS.time,
) -> None:
    """Take over the embeddings of a Qdrant collection into `faces`.

    A point belongs to the face whose row names it in `qdrant_point_id`, where the table still has that
    column, else to the face of the payload's face_id, else to the one with the point's own id. Name the pack
    that made the embeddings; where nobody knows it, the digest that `semblance migrate --adopt` gave those
    in the database, so that they are compared with each other. A face that has an embedding keeps it;
    another one in the collection is reported as a mismatch.

    With --create a point without a face becomes one, of the profile and with the picture that its payload
    names. A collection may still have faces that their owners have deleted, so use it only where the table of
    faces was lost. Profiles are never made. Ends with the report of what the database has now, and of what
    payloads lack; the exit status is 1 when a point was not taken.

    \b
      python -m batch.import_qdrant http://qdrant:6333 --pack buffalo_l
      python -m batch.import_qdrant ./qdrant_storage --collection faces
      python -m batch.import_qdrant http://qdrant:6333 --create --profile-field user_id
    """
    console = Console()
    fields = Fields(face_field, profile_field, path_field, hash_field, time_field)
    with job_command() as settings:
        result = asyncio.run(
            _run(url, collection, api_key, pack, settings=settings, fields=fields, create=create)
        )
    console.print(result.table())
    if result.creatable:
        console.print(f"Of {result.creatable:,} points without a face one could be made: --create does that.")
    if result.refused:
        console.print(f"report: {result.report}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
