"""A switch of packs under load: how long it takes, how long anybody waits, and what searches feel of it.

A gallery has embeddings of two packs. One client searches by the first, one writes to rows of the gallery,
both without pause, first by themselves and then while the other pack is put in force: its vector index is
built beside, and one row is changed. The way before, for comparison, swaps the two embeddings of every row in
one transaction, 500 rows a statement; the writer then waits for rows that are swapped already, and searches
find nothing after the end.

    python -m benchmarks.pack_switch
    python -m benchmarks.pack_switch --rows 100000 --rows 1000000 --no-before --no-index --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Annotated

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from rich.console import Console
from rich.table import Table

from benchmarks.database import drop_gallery_index, scratch_database
from benchmarks.synthetic import embeddings
from db.pool import Database
from db.spare_embeddings import SpareEmbeddings
from matching.celebrity_search import CelebritySearch
from semblance.errors import PackMismatchError

OLD, NEW = "a" * 64, "b" * 64

SWAP = """
    WITH batch AS MATERIALIZED (
        SELECT celebrity_id AS id, embedding
        FROM spare_celebrity_embeddings
        WHERE pack_digest = $1 AND ($2::uuid IS NULL OR celebrity_id > $2)
        ORDER BY celebrity_id
        LIMIT 500
    ),
    target AS MATERIALIZED (
        SELECT celebrities.id, celebrities.pack_digest, celebrities.embedding, batch.embedding AS spare
        FROM batch JOIN celebrities ON celebrities.id = batch.id
        ORDER BY celebrities.id
        FOR NO KEY UPDATE OF celebrities
    ),
    taken AS (
        DELETE FROM spare_celebrity_embeddings AS spare
        USING target WHERE spare.celebrity_id = target.id AND spare.pack_digest = $1
    ),
    kept AS (
        INSERT INTO spare_celebrity_embeddings (celebrity_id, pack_digest, embedding)
        SELECT id, pack_digest, embedding FROM target
    ),
    switched AS (
        UPDATE celebrities SET embedding = target.spare, pack_digest = $1
        FROM target WHERE celebrities.id = target.id
    )
    SELECT (SELECT id FROM batch ORDER BY id DESC LIMIT 1)
"""
"""A step of the way before."""


@dataclass(slots=True)
class SwitchResult:
    """Seconds; p95 of searches in milliseconds. at_rest: without a switch. put_in_force: of the seconds,
    those after the index."""

    rows: int
    way: str
    indexed: bool
    seconds: float
    put_in_force: float
    searches: int
    p95_at_rest: float
    p95: float
    longest_search: float
    longest_write_at_rest: float
    longest_write: float


@dataclass(slots=True)
class Waits:
    """Seconds of each call of a client."""

    searches: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Celebrities; may be repeated.")] = None,
    before: Annotated[bool, typer.Option(help="Measure the way before, too.")] = True,
    index: Annotated[bool, typer.Option(help="With vector indexes.")] = True,
    at_rest: Annotated[float, typer.Option(help="Seconds of load without a switch.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, load and switch, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    results: list[SwitchResult] = []
    for size in rows or [10_000]:
        for way in ("now", "before") if before else ("now",):
            with scratch_database() as dsn:
                with console.status(f"filling {size:,} rows"):
                    fill(dsn, size, index=index)
                with console.status(f"{way}: {size:,} rows"):
                    results.append(asyncio.run(measure(dsn, size, way, at_rest, index=index)))
    table = Table("rows", "way", "s", "in force s", "searches", title="A switch of packs under load")
    for heading in (
        "p95 ms at rest",
        "p95 ms",
        "longest search s",
        "longest write s at rest",
        "longest write s",
    ):
        table.add_column(heading, justify="right")
    for found in results:
        table.add_row(
            f"{found.rows:,}", found.way, f"{found.seconds:.2f}", f"{found.put_in_force:.3f}",
            f"{found.searches:,}", f"{found.p95_at_rest:.0f}", f"{found.p95:.0f}",
            f"{found.longest_search:.2f}", f"{found.longest_write_at_rest:.2f}", f"{found.longest_write:.2f}",
        )  # fmt: skip
    console.print(table)
    if as_json:
        longest = {(found.rows, found.way): found.longest_write for found in results}
        ratios = {
            f"longest write before/now at {size}": longest[size, "before"] / longest[size, "now"]
            for size, way in longest
            if way == "before"
        }
        found_rows = [asdict(found) for found in results]
        print(json.dumps({"benchmark": "pack_switch", "results": found_rows, "ratios": ratios}))


def fill(dsn: str, rows: int, *, index: bool) -> None:
    """Celebrities with an embedding of OLD and a spare one of NEW."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        connection.execute("SET maintenance_work_mem = '1GB'")
        gallery_index = drop_gallery_index(connection)
        connection.execute("SET session_replication_role = replica")
        for start in range(0, rows, 50_000):
            count = min(50_000, rows - start)
            _copy(connection, start, embeddings(count, start))
            connection.execute(
                "INSERT INTO spare_celebrity_embeddings"
                " SELECT id, %s, (embedding + (SELECT embedding FROM celebrities LIMIT 1))::vector(512)"
                " FROM celebrities WHERE image_hash::int >= %s",
                [NEW, start],
            )
        if index:
            connection.execute(gallery_index)
        connection.execute("VACUUM ANALYZE celebrities, spare_celebrity_embeddings")


def _copy(connection: psycopg.Connection, start: int, vectors: NDArray[np.float32]) -> None:
    columns = "name, image_path, image_hash, embedding, pack_digest"
    with connection.cursor().copy(f"COPY celebrities ({columns}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "text", "text", "vector", "text"])
        for number, vector in enumerate(vectors, start):
            copy.write_row((f"Person {number}", "somebody.jpg", str(number), vector, OLD))


async def measure(dsn: str, rows: int, way: str, at_rest: float, *, index: bool) -> SwitchResult:
    """The load by itself, then beside a switch."""
    database = await Database.connect(dsn, pool_size=4, command_seconds=7200)
    spare = SpareEmbeddings(database)
    search = CelebritySearch(database)
    await search.prepare(OLD)
    probes = embeddings(rows, 0)[:200]
    ids = [row["id"] for row in await database.fetch("SELECT id FROM celebrities ORDER BY id LIMIT 2000")]
    try:
        async with _load(database, search, probes, ids) as resting:
            await asyncio.sleep(at_rest)
        async with _load(database, search, probes, ids) as loaded:
            began = time.perf_counter()
            if way == "before":
                await _swap(database)
                in_force = time.perf_counter() - began
            else:
                if index:
                    await spare.build_indexes(NEW)
                middle = time.perf_counter()
                await spare.switch(NEW, 0)
                in_force = time.perf_counter() - middle
            seconds = time.perf_counter() - began
    finally:
        await database.close()
    return SwitchResult(
        rows=rows,
        way=way,
        indexed=index,
        seconds=seconds,
        put_in_force=in_force,
        searches=len(loaded.searches),
        p95_at_rest=1000 * float(np.quantile(resting.searches, 0.95)),
        p95=1000 * float(np.quantile(loaded.searches, 0.95)),
        longest_search=max(loaded.searches),
        longest_write_at_rest=max(resting.writes),
        longest_write=max(loaded.writes),
    )


async def _swap(database: Database) -> None:
    async with database.transaction() as connection:
        last = None
        while (last := await connection.fetchval(SWAP, NEW, last)) is not None:
            pass


@asynccontextmanager
async def _load(
    database: Database, celebrities: CelebritySearch, probes: NDArray[np.float32], ids: list[object]
) -> AsyncIterator[Waits]:
    """A client that searches and one that writes, until the end of the context."""
    waits, ended = Waits(), asyncio.Event()
    random = np.random.default_rng(0)

    async def search() -> None:
        probe = probes[random.integers(len(probes))]
        with suppress(PackMismatchError):
            await celebrities.nearest(probe, pack_digest=OLD, limit=10)

    async def write() -> None:
        await database.execute(
            "UPDATE celebrities SET bio = 'changed' WHERE id = $1", ids[random.integers(len(ids))]
        )
        await asyncio.sleep(0.01)

    async def again(call: Callable[[], Awaitable[None]], taken: list[float]) -> None:
        while not ended.is_set():
            began = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as clients:
        clients.create_task(again(search, waits.searches))
        clients.create_task(again(write, waits.writes))
        try:
            yield waits
        finally:
            ended.set()


if __name__ == "__main__":
    typer.run(main)
