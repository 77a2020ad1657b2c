"""The gallery's search compared with the exact one: recall of the best ten, time a query, and whether all ten
come.

Categories keep 50, 5, .5 and .05 % of the gallery. The search is the service's own, `Celebrities.nearest`,
which uses the HNSW index, or compares all rows where a filter leaves few. For comparison the first pass of
`matching`, eight bits a dimension in memory, with the database ordering the few rows that it leaves: exact,
and without an index.

    python -m benchmarks.vector_search
    python -m benchmarks.vector_search --rows 1000000 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.synthetic import embeddings
from db.celebrities import Celebrities
from db.pool import Database
from matching.quantized import Codes, products

BEST = 10
DIGEST = "a" * 64
KEPT = {"half": 0.5, "twentieth": 0.05, "rare": 0.005, "very rare": 0.0005}
"""Share of the gallery in each category; the rest is `other`."""


@dataclass(slots=True)
class SearchResult:
    """One size of the gallery under one filter. smallest: fewest hits of any query, of `full` possible."""

    rows: int
    keeps: float
    recall: float
    smallest: int
    full: int
    p50_ms: float
    p95_ms: float
    exact_p50_ms: float
    numpy_p50_ms: float
    resident_p50_ms: float
    resident_recall: float


def main(
    rows: Annotated[list[int] | None, typer.Option(help="Size of the gallery; may be repeated.")] = None,
    probes: Annotated[int, typer.Option(help="Faces searched for.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill and search, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    results: list[SearchResult] = []
    for size in rows or [10_000, 100_000]:
        with scratch_database() as dsn:
            gallery, categories = embeddings(size, 0), draw_categories(size)
            with console.status(f"filling {size:,} rows"):
                fill(dsn, gallery, categories)
            results += asyncio.run(measure(dsn, gallery, categories, embeddings(size, 1)[:probes]))
    table = Table("rows", "kept", title=f"Best {BEST} of the rows a filter keeps, one connection")
    for heading in (f"recall@{BEST}", "least", "p50 ms", "p95 ms", "exact", "NumPy", "8 bits", "recall"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            f"{result.rows:,}",
            f"{result.keeps:.2%}",
            f"{result.recall:.3f}",
            f"{result.smallest}/{result.full}",
            f"{result.p50_ms:.1f}",
            f"{result.p95_ms:.1f}",
            f"{result.exact_p50_ms:.1f}",
            f"{result.numpy_p50_ms:.1f}",
            f"{result.resident_p50_ms:.1f}",
            f"{result.resident_recall:.3f}",
        )
    console.print(table)
    if as_json:
        ratios = {
            f"exact/ours at {found.rows}, {found.keeps:.2%}": found.exact_p50_ms / found.p50_ms
            for found in results
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


def fill(dsn: str, gallery: NDArray[np.float32], categories: NDArray[np.str_]) -> None:
    """Celebrities that carry their number in `bio`."""
    columns = "name, image_path, bio, category, embedding, pack_digest"
    with psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("DROP INDEX idx_celebrities_embedding")
        with connection.cursor().copy(f"COPY celebrities ({columns}) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "text", "text", "text", "vector", "text"])
            for number, (embedding, category) in enumerate(zip(gallery, categories, strict=True)):
                name = f"Person {number}"
                copy.write_row((name, "somebody.jpg", str(number), str(category), embedding, DIGEST))
        # As the schema has it; built at once it takes a tenth of the time.
        connection.execute(
            "CREATE INDEX idx_celebrities_embedding ON celebrities"
            " USING hnsw (embedding vector_cosine_ops) WITH (m = 16, ef_construction = 64)"
        )
        connection.execute("VACUUM ANALYZE celebrities")


async def measure(
    dsn: str, gallery: NDArray[np.float32], categories: NDArray[np.str_], probes: NDArray[np.float32]
) -> list[SearchResult]:
    """Search for every probe under every filter, after a first round that warms the cache."""
    database = await Database.connect(dsn, pool_size=1)
    numbers = {row["id"]: int(row["bio"]) for row in await database.fetch("SELECT id, bio FROM celebrities")}
    keys = {number: key for key, number in numbers.items()}
    results = []
    filters: list[tuple[str | None, float]] = [(None, 1.0), *KEPT.items()]
    for category, share in filters:
        allowed = np.arange(len(gallery)) if category is None else np.flatnonzero(categories == category)
        rows = gallery[allowed]
        codes = Codes.of(rows)
        near = near_best(codes)
        full = min(BEST, len(allowed))
        ours: list[float] = []
        numpy: list[float] = []
        exact: list[float] = []
        resident: list[float] = []
        hits, resident_hits, smallest = 0, 0, BEST
        for again in (False, True):
            for probe in probes if again else probes[:20]:
                began = time.perf_counter()
                best = allowed[np.argsort(-(rows @ probe))[:BEST]]
                middle = time.perf_counter()
                found = await Celebrities(database).nearest(
                    probe, pack_digest=DIGEST, limit=BEST, category=category
                )
                end = time.perf_counter()
                chosen = [keys[number] for number in allowed[near(probe)].tolist()]
                ordered = await database.fetch(ORDER, probe, chosen, BEST)
                last = time.perf_counter()
                if again:
                    resident.append(last - end)
                    resident_hits += len({numbers[row["id"]] for row in ordered} & set(best.tolist()))
                    numpy.append(middle - began)
                    ours.append(end - middle)
                    hits += len({numbers[hit.celebrity_id] for hit in found} & set(best.tolist()))
                    smallest = min(smallest, len(found))
        for probe in probes[:20]:
            async with database.transaction(readonly=True) as connection:
                await connection.execute("SET LOCAL enable_indexscan = off")
                began = time.perf_counter()
                await connection.fetch(
                    "SELECT id FROM celebrities"
                    " WHERE pack_digest = $2 AND ($3::text IS NULL OR category = $3)"
                    " ORDER BY embedding <=> $1 LIMIT 10",
                    probe, DIGEST, category,
                )  # fmt: skip
                exact.append(time.perf_counter() - began)
        p50, p95 = np.quantile(ours, [0.5, 0.95])
        results.append(
            SearchResult(
                rows=len(gallery),
                keeps=share,
                recall=hits / (full * len(probes)) if full else 1.0,
                smallest=smallest,
                full=full,
                p50_ms=1000 * float(p50),
                p95_ms=1000 * float(p95),
                exact_p50_ms=1000 * float(np.median(exact)),
                numpy_p50_ms=1000 * float(np.median(numpy)),
                resident_p50_ms=1000 * float(np.median(resident)),
                resident_recall=resident_hits / (full * len(probes)) if full else 1.0,
            )
        )
    await database.close()
    return results


ORDER = "SELECT id FROM celebrities WHERE id = ANY($2::uuid[]) ORDER BY embedding <=> $1 LIMIT $3"


def near_best(codes: Codes) -> Callable[[NDArray[np.float32]], NDArray[np.intp]]:
    """A function that returns the places of all that may be among the best of a probe."""
    products_with = products(codes)

    def of(probe: NDArray[np.float32]) -> NDArray[np.intp]:
        one = Codes.of(probe[None])
        cosines = products_with(one)[0] * (codes.scale * one.scale)
        error = (1 + one.error) * codes.error + one.error
        if len(cosines) <= BEST:
            return np.arange(len(cosines))
        least = np.partition(cosines - error, -BEST)[-BEST]
        return np.flatnonzero(cosines + error >= least)

    return of


if __name__ == "__main__":
    typer.run(main)
