"""What users and their photos take: disk for each row and picture, memory for each celebrity, and the time of
the processor that a stored face, its match job and a page of the feed take, in the service and in the
database.

Photos are analyzed by the nets and stored as uploads are; their embeddings are varied, so that a few photos
make many faces. The times are those of the processor, not of a clock, so that other work on the machine
matters little.

    python -m benchmarks.footprint --photos FOLDER
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated
from uuid import UUID, uuid4

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.photos import make_images
from benchmarks.reads import Read, asked_of_api, feed, running_process
from benchmarks.stack import access_token
from db.celebrities import Celebrities, CelebrityRow
from db.faces import FaceRow, Faces
from db.pool import Database
from deployments.faces.pipeline import LocalPipeline
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import AnalyzedFace, Detection

TABLES = {
    "profiles": "profile",
    "faces": "face",
    "celebrities": "celebrity",
    "matches": "match",
    "celebrity_matches": "celebrity match",
    "match_jobs": "match job",
}
"""Tables that grow with users and photos, and what a row of them is."""

READS = 500

SAME_PERSON = 0.35
"""How far embeddings of a photo's faces are apart: cosines of .9 within a photo."""

_SIZES = """
    SELECT pg_total_relation_size($1::regclass) - pg_indexes_size($1::regclass), pg_indexes_size($1::regclass)
"""


@dataclass(frozen=True, slots=True)
class RowSize:
    """Bytes of disk for a row of a table: of the row, and of its entries in all indexes."""

    rows: int
    row_bytes: float
    index_bytes: float


@dataclass(frozen=True, slots=True)
class Footprint:
    """tables: by name. picture_bytes: of the three files of a photo. gallery_bytes: of a celebrity in memory.
    face_…, job_…, read_…: milliseconds of a processor for storing a face, for its match job, and for a page
    of the feed, in the service without Ray and in the database. matches, celebrity_matches: of a face."""

    tables: dict[str, RowSize]
    picture_bytes: float
    gallery_bytes: float
    face_service_ms: float
    face_database_ms: float
    job_service_ms: float
    job_database_ms: float
    read_service_ms: float
    read_database_ms: float
    matches: float
    celebrity_matches: float


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photos, each with a face.")],
    celebrities: Annotated[int, typer.Option(min=100, help="Size of the gallery.")] = 5_000,
    users: Annotated[int, typer.Option(min=10, help="Users, with a face each.")] = 1_000,
    schools: Annotated[int, typer.Option(min=1, help="Schools that they are spread over.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Store faces and celebrities, match them, and weigh what there is then."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn, tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        result = asyncio.run(
            measure(dsn, settings, photos, celebrities=celebrities, users=users, schools=schools)
        )
    table = Table("table", title="Bytes of a row")
    for heading in ("rows", "row", "indexes"):
        table.add_column(heading, justify="right")
    for name, size in result.tables.items():
        table.add_row(name, f"{size.rows:,}", f"{size.row_bytes:,.0f}", f"{size.index_bytes:,.0f}")
    console.print(table)
    for name, value in asdict(result).items():
        if name != "tables":
            console.print(f"{name}: {value:,.1f}")
    if as_json:
        print(json.dumps({"benchmark": "footprint", "results": asdict(result)}))


async def measure(
    dsn: str, settings: Settings, photos: Path, *, celebrities: int, users: int, schools: int
) -> Footprint:
    """On an empty database."""
    pipeline = LocalPipeline(settings)
    files = [file.read_bytes() for file in make_images(photos, settings.home, 24, seed=0)]
    faces = [found[0] for data in files if (found := pipeline.analyze_photo(data, 1)[1])]
    pictures = [pipeline.finder.render(data).files("face.jpg") for data in files]
    database = await Database.connect(dsn, pool_size=4, command_seconds=600)
    digest, random = pipeline.model.digest, np.random.default_rng(0)
    await Celebrities(database).copy_in(
        [
            CelebrityRow.of(
                varied(faces[number % len(faces)], random), digest, id=uuid4(), name=f"Person {number // 5}",
                bio=None, category="actor", gender=None, seen_gender=("male", "female")[number // 5 % 2],
                image_path=f"celebrities/{number % 256:02x}/{uuid4().hex}.jpg", image_hash=uuid4().hex,
            )
            for number in range(celebrities)
        ]
    )  # fmt: skip
    ids = await add_profiles(database, users, schools)
    await database.execute("ANALYZE")
    rows = [
        face_row(varied(faces[number % len(faces)], random), digest, user) for number, user in enumerate(ids)
    ]

    async def store() -> None:
        for row in rows:
            await Faces(database).add(row)

    async def match() -> None:
        while await worker.process(100):
            pass

    worker = MatchWorker(database, open_storage(settings), NoNets(), pipeline.model, settings)
    # The first search writes the gallery's file, which is not a job's work.
    await Faces(database).add(replace(rows[0], id=uuid4(), image_hash=uuid4().hex))
    await worker.process(1)
    this = psutil.Process()
    face_service_ms, face_database_ms = await spent(database, this, store, users)
    await database.execute("ANALYZE")
    job_service_ms, job_database_ms = await spent(database, this, match, users)
    with running_process(dsn) as url:
        (api,) = (each for each in this.children() if "uvicorn" in each.cmdline())
        token = access_token(ids[0], "person0@school0.edu")
        page = Read("feed", "/api/matches/top", token, lambda each: feed(each, ids[0]))
        ask = await asked_of_api(url, page)()

        async def read() -> None:
            for _ in range(READS):
                await ask()

        await ask()
        read_service_ms, read_database_ms = await spent(database, api, read, READS)
    sizes = {name: await row_size(database, name) for name in TABLES}
    await database.close()
    gallery = sum(file.stat().st_size for file in (settings.home / "gallery").rglob("*") if file.is_file())
    return Footprint(
        tables=sizes,
        picture_bytes=statistics.fmean(sum(map(len, picture.values())) for picture in pictures),
        gallery_bytes=gallery / celebrities,
        face_service_ms=face_service_ms,
        face_database_ms=face_database_ms,
        job_service_ms=job_service_ms,
        job_database_ms=job_database_ms,
        read_service_ms=read_service_ms,
        read_database_ms=read_database_ms,
        matches=sizes["matches"].rows / users,
        celebrity_matches=sizes["celebrity_matches"].rows / users,
    )


class NoNets:
    """All faces here are analyzed already."""

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        raise NotImplementedError


def varied(face: AnalyzedFace, random: np.random.Generator) -> AnalyzedFace:
    """Another face that is like it."""
    noise = random.normal(size=face.embedding.shape).astype(np.float32)
    noise[face.embedding == 0] = 0
    other = face.embedding + SAME_PERSON * noise / np.linalg.norm(noise)
    return replace(face, embedding=(other / np.linalg.norm(other)).astype(np.float32))


def face_row(face: AnalyzedFace, digest: str, user: UUID) -> FaceRow:
    """As an upload stores it."""
    key = uuid4()
    return FaceRow.of(
        face, digest, id=key, profile_id=user, image_path=f"faces/{user}/{key}.jpg", image_hash=key.hex,
        gender=face.attributes.gender,
    )  # fmt: skip


async def add_profiles(database: Database, users: int, schools: int) -> list[UUID]:
    """Users with complete profiles; returns their ids."""
    ids = [uuid4() for _ in range(users)]
    async with database.transaction() as connection:
        await connection.copy_records_to_table(
            "profiles",
            records=[
                (user, "user", f"person{place}@school{place % schools}.edu", f"Person {place}",
                 f"school {place % schools}", "male" if place // schools % 2 else "female")
                for place, user in enumerate(ids)
            ],
            columns=("id", "profile_type", "email", "name", "school", "gender"),
        )  # fmt: skip
    return ids


async def spent(
    database: Database, process: psutil.Process, work: Callable[[], Awaitable[None]], times: int
) -> tuple[float, float]:
    """Milliseconds of a processor that a unit of `work` takes, of `times`: in a process, and in the
    database."""
    server, service = await server_seconds(database), seconds(process)
    await work()
    service, server = seconds(process) - service, await server_seconds(database) - server
    return 1000 * service / times, 1000 * server / times


def seconds(process: psutil.Process) -> float:
    """The time of the processor that a process has used so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def server_seconds(database: Database) -> float:
    """The time of the processor that the server's processes have used so far."""
    used = 0.0
    for row in await database.fetch("SELECT pid FROM pg_stat_activity WHERE pid IS NOT NULL"):
        with suppress(psutil.Error):
            used += seconds(psutil.Process(row["pid"]))
    return used


async def row_size(database: Database, table: str) -> RowSize:
    """Of a table that nothing was deleted from."""
    rows = int(await database.fetchval(f"SELECT count(*) FROM {table}"))  # noqa: S608 - of TABLES
    content, indexes = (await database.fetch(_SIZES, table))[0]
    return RowSize(rows, content / max(rows, 1), indexes / max(rows, 1))


if __name__ == "__main__":
    typer.run(main)
