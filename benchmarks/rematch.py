"""What matching all faces again costs: 2,000 faces with 100,000 celebrities, from reading to rows written.

    ours   python -m batch.rematch on an empty table of matches; faces are read from the database, the gallery
           from the file that the match workers of a machine keep, and all matches found are written to the
           database. The median of three, each with a Ray of its own. Once more when nothing has changed,
           which it finds out without comparing the pairs; and once with --settled, which compares them all
           the same
    bare   the cosines alone: float32 products of blocks of embeddings in memory, on all cores; the median of
           those before, between and after the others
    old    a PL/pgSQL function called for every pair, as the old app did, for some of the faces

All celebrities are men and all faces women's, so every pair is scored. Of some faces the matches are compared
with those of one SQL expression over all pairs.

The clock runs from the plan, before the first row is read, until the last row is written. A process for each
core is there before, for the bare products as for Ray, and so is the gallery's file; what starting these and
writing that took is shown. What Ray's processes then import and load for a search counts.

    python -m benchmarks.rematch
    python -m benchmarks.rematch --faces 500 --celebrities 20000
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import numpy as np
import ray
import typer
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from batch.cluster import LOCAL, ray_session
from batch.rematch.job import SHARD_SIZE, RematchSummary, rematch
from benchmarks.celebrity_match import OLD, OLD_FUNCTION, SET_BASED
from benchmarks.database import scratch_database
from benchmarks.population import COLUMNS, DIGEST, people
from benchmarks.rounds import median_round
from benchmarks.synthetic import embeddings
from db.pool import Database
from matching.gallery import Gallery
from matching.rematch import Scope
from matching.scoring import MIN_QUALITY
from semblance.settings import Settings
from semblance.weights import Weights

CHUNK = 10_000
OLD_FACES = 3
ROUNDS = 3
COMPARED = 20
BLOCK = (1024, 8192)
"""Probes and targets of one bare product: 32 MB of cosines."""


def main(
    faces: Annotated[int, typer.Option(min=COMPARED, help="Faces to be matched.")] = 2000,
    celebrities: Annotated[int, typer.Option(min=100, help="Celebrities in the gallery.")] = 100_000,
    shard_size: Annotated[int, typer.Option(min=1, help="As of batch.rematch.")] = SHARD_SIZE,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill a database, match everything again and again, and compare."""
    console = Console(stderr=as_json)
    cores = len(os.sched_getaffinity(0))
    console.print(f"{cores} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn, tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), database_url=SecretStr(dsn))
        console.print(f"filling {celebrities:,} celebrities and {faces:,} faces …")
        ids = asyncio.run(fill(dsn, faces, celebrities))
        gallery_seconds = asyncio.run(write_gallery(dsn, settings))
        console.print(f"reading the gallery and writing its file: {gallery_seconds:.1f} s")
        scope = Scope(("celebrities",), None, None, shard_size)
        products, ray_seconds, runs = [bare_products(faces, celebrities)], 0.0, list[RematchSummary]()
        for number in range(ROUNDS):
            asyncio.run(forget_matches(dsn))
            started = time.perf_counter()
            with ray_session(LOCAL):
                start_processes(cores)
                ray_seconds = time.perf_counter() - started
                console.print(f"starting Ray and its processes: {ray_seconds:.1f} s")
                runs.append(asyncio.run(rematch(scope, settings, console)))
                console.print(runs[-1].table())
                if number == ROUNDS - 1:
                    again = asyncio.run(rematch(scope, settings, console))
                    console.print(again.table())
                    everything = asyncio.run(rematch(replace(scope, settled=True), settings, console))
                    console.print(everything.table())
            products.append(bare_products(faces, celebrities))
        old, identical = asyncio.run(compare(dsn, ids, celebrities))
    bare = float(np.median(products))

    pairs = faces * celebrities
    first = median_round(runs, lambda run: run.seconds)
    ours, repeated, compared = (pairs / run.seconds for run in (first, again, everything))
    table = Table(title=f"{faces:,} faces with {celebrities:,} celebrities, pairs per second")
    for heading in ("way", "pairs/s", "of bare", "times old"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    ways = {
        "bare products": bare,
        "ours": ours,
        "ours, nothing changed": repeated,
        "ours, nothing changed, compared all the same": compared,
        "old": old,
    }
    for way, speed in ways.items():
        table.add_row(way, f"{speed:,.0f}", f"{speed / bare:.3f}", f"{speed / old:,.0f}")
    console.print(table)
    console.print(f"matches of {COMPARED} faces as by SQL over all pairs: {'yes' if identical else 'NO'}")
    ratios = {"ours_to_bare": ours / bare, "again_to_bare": repeated / bare, "ours_to_old": ours / old}
    if as_json:
        results = {
            "faces": faces,
            "celebrities": celebrities,
            "cores": cores,
            "gallery_seconds": gallery_seconds,
            "ray_seconds": ray_seconds,
            "pairs_per_second": ways,
            "first": described(first),
            "again": described(again),
            "everything": described(everything),
            "identical": identical,
        }
        print(json.dumps({"benchmark": "rematch", "results": results, "ratios": ratios}))


def described(summary: RematchSummary) -> dict[str, Any]:
    """For JSON."""
    return {**summary.changes._asdict(), "seconds": summary.seconds, "stages": dict(summary.stages)}


def start_processes(cores: int) -> None:
    """Have Ray start a process for each core, which import nothing of ours."""
    pause = ray.remote(lambda: time.sleep(0.2)).options(num_cpus=1)
    ray.get([pause.remote() for _ in range(cores)])


async def fill(dsn: str, faces: int, celebrities: int, dimensions: int = 512) -> list[UUID]:
    """Insert both, with embeddings of so many dimensions; returns the faces' ids."""
    database = await Database.connect(dsn, pool_size=2)
    # Nothing here uses it, and for 100,000 rows it takes a minute.
    await database.execute("DROP INDEX celebrities_embedding_half_idx")
    random = np.random.default_rng(0)
    vectors = embeddings(celebrities, seed=3, dimensions=dimensions)
    for start in range(0, celebrities, CHUNK):
        rows = people(random, min(CHUNK, celebrities - start), start)
        for place, row in enumerate(rows, start):
            fit = max(row["quality_score"], MIN_QUALITY)
            row |= {"gender": "male", "quality_score": fit, "embedding": vectors[place]}
        async with database.transaction() as connection:
            await connection.copy_records_to_table(
                "celebrities",
                records=[tuple(row[name] for name in COLUMNS) for row in rows],
                columns=COLUMNS,
            )
    found = people(random, faces, celebrities)
    vectors = embeddings(faces, seed=4, dimensions=dimensions)
    users = [uuid4() for _ in found]
    columns = [name for name in COLUMNS if name not in {"name", "category"}]
    async with database.transaction() as connection:
        await connection.copy_records_to_table(
            "profiles",
            records=[(user, "user", "female", f"school {place % 50}") for place, user in enumerate(users)],
            columns=("id", "profile_type", "gender", "school"),
        )
        await connection.copy_records_to_table(
            "faces",
            records=[
                (user, *((row | {"embedding": vector})[name] for name in columns))
                for user, row, vector in zip(users, found, vectors, strict=True)
            ],
            columns=("profile_id", *columns),
        )
    await database.execute("DELETE FROM match_jobs")
    await database.execute("VACUUM ANALYZE")
    await database.close()
    return [row["id"] for row in found]


async def write_gallery(dsn: str, settings: Settings) -> float:
    """Write the gallery's file, as the first match worker of a machine does; returns the seconds it took."""
    database = await Database.connect(dsn, pool_size=1)
    started = time.perf_counter()
    await Gallery(database, DIGEST, settings.home / "gallery").refresh()
    seconds = time.perf_counter() - started
    await database.close()
    return seconds


async def forget_matches(dsn: str) -> None:
    """As if no face had been matched."""
    database = await Database.connect(dsn, pool_size=1)
    await database.execute("TRUNCATE celebrity_matches, settled_faces")
    await database.close()


async def compare(dsn: str, faces: list[UUID], celebrities: int) -> tuple[float, bool]:
    """Pairs per second of the old way, and whether what is stored is the best by SQL over all pairs."""
    database = await Database.connect(dsn, pool_size=1)
    await database.execute(OLD_FUNCTION)
    terms = (Weights().as_dict(), 0.5)
    started = time.perf_counter()
    for face in faces[:OLD_FACES]:
        await database.fetch(OLD, face, *terms)
    old = OLD_FACES * celebrities / (time.perf_counter() - started)
    identical = True
    for face in faces[:COMPARED]:
        stored = await database.fetch(
            "SELECT celebrity_id FROM celebrity_matches WHERE face_id = $1"
            " ORDER BY similarity_score DESC, celebrity_id",
            face,
        )
        exact = await database.fetch(SET_BASED, face, *terms)
        identical &= [row[0] for row in stored] == [row[0] for row in exact]
    await database.close()
    return old, identical


def bare_products(faces: int, celebrities: int) -> float:
    """Pairs per second of the cosines of all, block by block."""
    probes, targets = embeddings(faces, seed=4), embeddings(celebrities, seed=3)
    out = np.empty(BLOCK, np.float32)
    started = time.perf_counter()
    for begin in range(0, celebrities, BLOCK[1]):
        block = targets[begin : begin + BLOCK[1]]
        for start in range(0, faces, BLOCK[0]):
            some = probes[start : start + BLOCK[0]]
            np.matmul(some, block.T, out=out[: len(some), : len(block)])
    return faces * celebrities / (time.perf_counter() - started)


if __name__ == "__main__":
    typer.run(main)
