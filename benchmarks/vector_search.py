"""The search of `/lookalikes` compared with pgvector's HNSW index and with comparing all rows.

Categories keep 50, 5, .5 and .05 % of the gallery. Ours is the service's own, `CelebritySearch.nearest`:
eight bits a dimension in memory, and the database orders the few that this leaves; it looks for changes each
time.
HNSW is the way it went before, with as wide a search (ef_search 600, 1000 with a filter).

    python -m benchmarks.vector_search
    python -m benchmarks.vector_search --rows 1000000 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Annotated
from uuid import UUID

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
from matching.celebrity_search import CelebritySearch

BEST = 10
DIGEST = "a" * 64
KEPT = {"half": 0.5, "twentieth": 0.05, "rare": 0.005, "very rare": 0.0005}
"""Share of the gallery in each category; the rest is `other`."""


@dataclass(slots=True)
class SearchResult:
    """One size of the gallery under one filter. build_s: to build the index. smallest, hnsw_smallest: fewest
    hits of any query, of `full` possible."""

    rows: int
    keeps: float
    full: int
    recall: float
    smallest: int
    p50_ms: float
    p95_ms: float
    hnsw_recall: float
    hnsw_smallest: int
    hnsw_p50_ms: float
    hnsw_p95_ms: float
    hnsw_build_s: float
    exact_p50_ms: float
    numpy_p50_ms: float


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Size of the gallery; may be repeated.")] = None,
    probes: Annotated[int, typer.Option(help="Faces searched for.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill and search, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    results: list[SearchResult] = []
    for size in rows or [1_000, 10_000, 100_000]:
        with scratch_database() as dsn:
            gallery, categories = embeddings(size, 0), draw_categories(size)
            with console.status(f"filling {size:,} rows"):
                build = fill(dsn, gallery, categories)
            results += asyncio.run(measure(dsn, gallery, categories, embeddings(size, 1)[:probes], build))
    table = Table("rows", "kept", title=f"Best {BEST} of the rows a filter keeps, one connection, ms")
    for heading in ("p50", "p95", "recall", "HNSW p50", "p95", "recall", "exact", "NumPy"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            f"{result.rows:,}",
            f"{result.keeps:.2%}",
            f"{result.p50_ms:.1f}",
            f"{result.p95_ms:.1f}",
            f"{result.recall:.3f}",
            f"{result.hnsw_p50_ms:.1f}",
            f"{result.hnsw_p95_ms:.1f}",
            f"{result.hnsw_recall:.3f}",
            f"{result.exact_p50_ms:.1f}",
            f"{result.numpy_p50_ms:.1f}",
        )
    console.print(table)
    for size, seconds in {found.rows: found.hnsw_build_s for found in results}.items():
        console.print(f"The index of {size:,} rows was built in {seconds:.1f} s.")
    if as_json:
        ratios = {
            f"{way}/ours at {found.rows}, {found.keeps:.2%}": milliseconds / found.p50_ms
            for found in results
            for way, milliseconds in (("hnsw", found.hnsw_p50_ms), ("exact", found.exact_p50_ms))
        }
        found = [asdict(result) for result in results]
        print(json.dumps({"benchmark": "vector_search", "results": found, "ratios": ratios}))


def draw_categories(rows: int) -> NDArray[np.str_]:
    """A category for each row."""
    bounds = np.cumsum([round(rows * share) for share in KEPT.values()])
    names = np.array([*KEPT, "other"])
    places = np.random.default_rng(3).permutation(rows)
    drawn: NDArray[np.str_] = names[np.searchsorted(bounds, places, side="right")]
    return drawn


def fill(dsn: str, gallery: NDArray[np.float32], categories: NDArray[np.str_]) -> float:
    """Celebrities that carry their number in `bio`. Returns the seconds that their index took."""
    columns = "name, image_path, bio, category, embedding, pack_digest"
    with psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        connection.execute("SET maintenance_work_mem = '1GB'")
        index = drop_gallery_index(connection)
        with connection.cursor().copy(f"COPY celebrities ({columns}) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "text", "text", "text", "vector", "text"])
            for number, (embedding, category) in enumerate(zip(gallery, categories, strict=True)):
                name = f"Person {number}"
                copy.write_row((name, "somebody.jpg", str(number), str(category), embedding, DIGEST))
        # As the schema has it; built at once it takes a tenth of the time.
        began = time.perf_counter()
        connection.execute(index)
        build = time.perf_counter() - began
        # As autovacuum does within a minute; the log of changes has as many rows.
        connection.execute("VACUUM ANALYZE")
    return build


async def measure(
    dsn: str,
    gallery: NDArray[np.float32],
    categories: NDArray[np.str_],
    probes: NDArray[np.float32],
    build: float,
) -> list[SearchResult]:
    """Search for every probe under every filter, after a first round that warms the cache."""
    database = await Database.connect(dsn, pool_size=1)
    search = CelebritySearch(database)
    await search.prepare(DIGEST)
    numbers = {row["id"]: int(row["bio"]) for row in await database.fetch("SELECT id, bio FROM celebrities")}
    results = []
    filters: list[tuple[str | None, float]] = [(None, 1.0), *KEPT.items()]
    for category, share in filters:
        allowed = np.arange(len(gallery)) if category is None else np.flatnonzero(categories == category)
        rows = gallery[allowed]
        full = min(BEST, len(allowed))
        best, alone = [], []
        # Apart from the others: the threads of its products would go on to look for work beside them.
        for probe in probes:
            began = time.perf_counter()
            best.append(set(allowed[np.argsort(-(rows @ probe))[:BEST]].tolist()))
            alone.append(1000 * (time.perf_counter() - began))
        taken: dict[str, list[float]] = {"ours": [], "hnsw": [], "exact": []}
        found: dict[str, list[set[int]]] = {"ours": [], "hnsw": []}
        for again in (False, True):
            for number, probe in enumerate(probes if again else probes[:20]):
                times = [time.perf_counter()]
                hits = await search.nearest(probe, pack_digest=DIGEST, limit=BEST, category=category)
                times.append(time.perf_counter())
                by_index = await in_sql(database, HNSW, probe, category)
                times.append(time.perf_counter())
                if number < 20:
                    await in_sql(database, EXACT, probe, category)
                    times.append(time.perf_counter())
                if again:
                    for way, seconds in zip(taken, np.diff(times), strict=False):
                        taken[way].append(1000 * float(seconds))
                    found["ours"].append({numbers[hit.celebrity_id] for hit in hits})
                    found["hnsw"].append({numbers[key] for key in by_index})
        recall = {
            way: sum(len(some & every) for some, every in zip(sets, best, strict=True)) / (full * len(probes))
            if full
            else 1.0
            for way, sets in found.items()
        }
        results.append(
            SearchResult(
                rows=len(gallery),
                keeps=share,
                full=full,
                recall=recall["ours"],
                smallest=min(map(len, found["ours"])),
                p50_ms=float(np.quantile(taken["ours"], 0.5)),
                p95_ms=float(np.quantile(taken["ours"], 0.95)),
                hnsw_recall=recall["hnsw"],
                hnsw_smallest=min(map(len, found["hnsw"])),
                hnsw_p50_ms=float(np.quantile(taken["hnsw"], 0.5)),
                hnsw_p95_ms=float(np.quantile(taken["hnsw"], 0.95)),
                hnsw_build_s=build,
                exact_p50_ms=float(np.median(taken["exact"])),
                numpy_p50_ms=float(np.median(alone)),
            )
        )
    await database.close()
    return results


NEAREST = (
    "SELECT id, name, image_path FROM celebrities WHERE pack_digest = $2"
    " AND ($3::text IS NULL OR category = $3) ORDER BY {order} LIMIT $4"
)
HNSW = (
    "SET LOCAL hnsw.ef_search = {width}; SET LOCAL hnsw.iterative_scan = strict_order",
    "index_distance(embedding, $1)",
)
EXACT = ("SET LOCAL enable_indexscan = off", "embedding <=> $1")


async def in_sql(
    database: Database, way: tuple[str, str], probe: NDArray[np.float32], category: str | None
) -> list[UUID]:
    """The nearest as pgvector finds them. way: settings and order."""
    settings, order = way
    async with database.transaction(readonly=True) as connection:
        await connection.execute(settings.format(width=600 if category is None else 1000))
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        rows = await connection.fetch(NEAREST.format(order=order), probe, DIGEST, category, BEST)
    return [row["id"] for row in rows]


if __name__ == "__main__":
    typer.run(main)
