"""Which index the gallery should have: recall of the best ten and time per query, compared with the exact
search.

IVFFlat is measured twice: built on the empty table, as a migration does it, and rebuilt on the full one.
Embeddings and probes vary in 64 directions, about as those of faces do, which is harder than clusters are.

    python -m benchmarks.gallery_index
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
import psycopg
import typer
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg.sql import SQL, Literal
from rich.console import Console
from rich.table import Table

from benchmarks.database import drop_gallery_index, scratch_database

DIRECTIONS = 64
NOISE = 0.02
BEST = 10

HNSW = SQL("CREATE INDEX gallery ON celebrities USING hnsw (embedding vector_cosine_ops)")
IVFFLAT = SQL(
    "CREATE INDEX gallery ON celebrities USING ivfflat (embedding vector_cosine_ops) WITH (lists = 100)"
)
HALF = SQL(
    "CREATE INDEX gallery ON celebrities"
    " USING hnsw ((l2_normalize(embedding)::halfvec(512)) halfvec_cosine_ops)"
)
NEAREST = SQL("SELECT bio::int FROM celebrities ORDER BY embedding <=> %s LIMIT 10")
NEAREST_IN_HALF = SQL("SELECT bio::int FROM celebrities ORDER BY index_distance(embedding, %s) LIMIT 10")


@dataclass(slots=True)
class IndexResult:
    """One index with one setting of its search; the exact search has neither."""

    index: str
    setting: str
    build_s: float
    recall: float
    p50_ms: float
    p95_ms: float


def main(
    rows: Annotated[int, typer.Option(help="Celebrities in the gallery.")] = 40_000,
    probes: Annotated[int, typer.Option(help="Faces searched for.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, build and search, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        register_vector(connection)
        results = measure(connection, rows, probes)

    table = Table(title=f"Best {BEST} of {rows:,} rows, one connection")
    table.add_column("index")
    table.add_column("setting")
    for heading in ("build s", f"recall@{BEST}", "p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for result in results:
        figures = (
            f"{result.build_s:.1f}",
            f"{result.recall:.3f}",
            f"{result.p50_ms:.1f}",
            f"{result.p95_ms:.1f}",
        )
        table.add_row(result.index, result.setting, *figures)
    console.print(table)
    if as_json:
        exact = results[0]
        ratios = {f"{found.index} {found.setting}": exact.p50_ms / found.p50_ms for found in results[1:]}
        found = [asdict(result) for result in results]
        print(json.dumps({"benchmark": "gallery_index", "results": found, "ratios": ratios}))


def measure(connection: psycopg.Connection, rows: int, probes: int) -> list[IndexResult]:
    """Every index and setting in turn, on a gallery filled once, under the IVFFlat index of an empty one."""
    gallery, wanted = faces(rows, 0), faces(probes, 1)
    truth = [set(np.argsort(-(gallery @ probe))[:BEST].tolist()) for probe in wanted]

    drop_gallery_index(connection)
    early = build(connection, IVFFLAT)
    fill(connection, gallery)
    ivfflat = [("ivfflat.probes", value) for value in (1, 10, 30)]
    found = [
        search(connection, "ivfflat, built empty", early, setting, probes=wanted, truth=truth)
        for setting in ivfflat
    ]

    connection.execute("DROP INDEX gallery")
    exact = search(connection, "none", 0, None, probes=wanted, truth=truth)
    late = build(connection, IVFFLAT)
    found += [
        search(connection, "ivfflat, rebuilt", late, setting, probes=wanted, truth=truth)
        for setting in ivfflat
    ]

    connection.execute("DROP INDEX gallery")
    built = build(connection, HNSW)
    hnsw = [("hnsw.ef_search", value) for value in (40, 100, 200, 400)]
    found += [search(connection, "hnsw", built, setting, probes=wanted, truth=truth) for setting in hnsw]

    connection.execute("DROP INDEX gallery")
    built = build(connection, HALF)
    found += [
        search(
            connection,
            "hnsw, half precision",
            built,
            setting,
            probes=wanted,
            truth=truth,
            nearest=NEAREST_IN_HALF,
        )
        for setting in hnsw
    ]
    return [exact, *found]


def faces(count: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors, float32 [count, 512], that vary in DIRECTIONS directions and by NOISE in all."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(2).normal(size=(DIRECTIONS, 512)) / np.sqrt(DIRECTIONS)
    vectors = random.normal(size=(count, DIRECTIONS)) @ directions + NOISE * random.normal(size=(count, 512))
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def fill(connection: psycopg.Connection, gallery: NDArray[np.float32]) -> None:
    """Celebrities that carry their number in `bio`."""
    columns = "name, image_path, bio, embedding, pack_digest"
    with connection.cursor().copy(f"COPY celebrities ({columns}) FROM STDIN (FORMAT binary)") as copy:
        copy.set_types(["text", "text", "text", "vector", "text"])
        for number, embedding in enumerate(gallery):
            copy.write_row(("Somebody", "somebody.jpg", str(number), embedding, "a" * 64))
    connection.execute("VACUUM ANALYZE celebrities")


def build(connection: psycopg.Connection, index: SQL) -> float:
    """Seconds to build the index."""
    started = time.perf_counter()
    connection.execute(index)
    return time.perf_counter() - started


def search(
    connection: psycopg.Connection,
    index: str,
    build_s: float,
    setting: tuple[str, int] | None,
    *,
    probes: NDArray[np.float32],
    truth: list[set[int]],
    nearest: SQL = NEAREST,
) -> IndexResult:
    """Search for every probe, after a first round that warms the cache."""
    if setting is not None:
        connection.execute(
            SQL("SELECT set_config({}, {}, false)").format(Literal(setting[0]), Literal(str(setting[1])))
        )
    times: list[float] = []
    found = 0
    for _ in range(2):
        times, found = [], 0
        for probe, best in zip(probes, truth, strict=True):
            started = time.perf_counter()
            rows = connection.execute(nearest, [probe], binary=True).fetchall()
            times.append(1000 * (time.perf_counter() - started))
            found += len(best & {row[0] for row in rows})
    name = "" if setting is None else f"{setting[0].partition('.')[2]} {setting[1]}"
    p50, p95 = np.quantile(times, [0.5, 0.95])
    return IndexResult(index, name, build_s, found / (BEST * len(probes)), float(p50), float(p95))


if __name__ == "__main__":
    typer.run(main)
