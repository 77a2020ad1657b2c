"""What reading embeddings costs, by how the table stores them.

Four copies of one gallery differ only in the storage of the embedding and in the length above which a row's
other values are moved out. Three queries scan each: the exact nearest ten, which reads every embedding; the
attributes a match score needs; and both. Copies take turns, each query counts its fastest run.

    python -m benchmarks.storage_plain
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Annotated

import psycopg
import typer
from psycopg.sql import SQL, Composed, Identifier
from rich.console import Console
from rich.table import Table

from benchmarks.database import drop_gallery_index, scratch_database

# "i > 0" makes a subquery depend on the row, so that each row gets its own numbers.
FILL = SQL("""
    INSERT INTO celebrities (
        name, category, gender, image_path, image_hash, embedding, pack_digest, age, quality_score,
        blur_score, illumination_score, symmetry_score, landmarks_68, pose, geometry_ratios, skin_tone_lab,
        expression, expression_confidence, emotion_scores, analyzed_at
    )
    SELECT
        'Celebrity ' || i, 'actors', 'female', 'celebrities/' || md5(i::text) || '.jpg', md5(i::text),
        (SELECT array_agg(random() - 0.5) FROM generate_series(1, 512) WHERE i > 0)::vector, repeat('a', 64),
        20 + mod(i, 60), random(), random(), random(), random(),
        (SELECT jsonb_agg(jsonb_build_array(
            round((random() * 900)::numeric, 2), round((random() * 900)::numeric, 2)
        )) FROM generate_series(1, 68) WHERE i > 0),
        jsonb_build_object('yaw', random(), 'pitch', random(), 'roll', random()),
        jsonb_build_object(
            'face_width_height_ratio', random(), 'eye_spacing_face_width', random(),
            'jawline_width_face_width', random(), 'nose_width_face_width', random()
        ),
        ARRAY[65 + random(), 10 + random(), 20 + random()], 'happy', random(),
        jsonb_build_object(
            'happy', random(), 'neutral', random(), 'sad', random(), 'angry', random(),
            'surprise', random(), 'fear', random(), 'disgust', random()
        ),
        now()
    FROM generate_series(1, %s) AS i
""")

QUERIES = {
    "nearest": SQL("""
        SELECT id FROM {table}
        ORDER BY embedding <=> (SELECT embedding FROM {table} LIMIT 1), id LIMIT 10
    """),
    "attributes": SQL("""
        SELECT sum((geometry_ratios ->> 'eye_spacing_face_width')::float8 + skin_tone_lab[1] + symmetry_score)
        FROM {table} WHERE expression = 'happy'
    """),
    "both": SQL("""
        SELECT id FROM {table}
        ORDER BY
            (embedding <=> (SELECT embedding FROM {table} LIMIT 1))
                + (geometry_ratios ->> 'eye_spacing_face_width')::float8 + skin_tone_lab[1] + symmetry_score
        LIMIT 10
    """),
}

PAGE_TARGET = 2712
DEFAULT_TARGET = 2032

VARIANTS = {
    "external (pgvector's default)": ("EXTERNAL", DEFAULT_TARGET),
    "extended": ("EXTENDED", DEFAULT_TARGET),
    "plain": ("PLAIN", DEFAULT_TARGET),
    f"plain, rows to {PAGE_TARGET} (ours)": ("PLAIN", PAGE_TARGET),
}


@dataclass(slots=True)
class PlainStorageResult:
    """One copy: milliseconds per query, and megabytes of the table and of its TOAST table."""

    storage: str
    milliseconds: dict[str, float]
    table_mb: float
    toast_mb: float


def main(
    rows: Annotated[int, typer.Option(help="Celebrities in the gallery.")] = 40_000,
    runs: Annotated[int, typer.Option(help="Times each query runs on each copy.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, copy and scan, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn, psycopg.connect(dsn, autocommit=True) as connection:
        results = measure(connection, rows, runs)

    table = Table(title=f"{rows:,} rows, one process, warm; milliseconds")
    table.add_column("storage of the embedding")
    for heading in (*QUERIES, "table MB", "TOAST MB"):
        table.add_column(heading, justify="right")
    for result in results:
        times = [f"{value:.0f}" for value in result.milliseconds.values()]
        table.add_row(result.storage, *times, f"{result.table_mb:.0f}", f"{result.toast_mb:.0f}")
    console.print(table)
    first, ours = results[0], results[-1]
    ratios = {
        f"{query}_default_to_ours": first.milliseconds[query] / ours.milliseconds[query] for query in QUERIES
    }
    for name, ratio in ratios.items():
        console.print(f"{name}: {ratio:.2f}")
    if as_json:
        found = [asdict(result) for result in results]
        print(json.dumps({"benchmark": "storage_plain", "results": found, "ratios": ratios}))


def measure(connection: psycopg.Connection, rows: int, runs: int) -> list[PlainStorageResult]:
    """Make the copies, then time every query on every copy."""
    connection.execute("SET max_parallel_workers_per_gather = 0")
    drop_gallery_index(connection)
    connection.execute(FILL, [rows])
    tables = {storage: f"copy_{number}" for number, storage in enumerate(VARIANTS)}
    for storage, table in tables.items():
        copy(connection, Identifier(table), *VARIANTS[storage])
    times: dict[str, dict[str, list[float]]] = {
        storage: {query: [] for query in QUERIES} for storage in VARIANTS
    }
    for _ in range(runs):
        for storage, table in tables.items():
            for query, text in QUERIES.items():
                times[storage][query].append(timed(connection, text.format(table=Identifier(table))))
    return [
        PlainStorageResult(
            storage,
            {query: min(values) for query, values in times[storage].items()},
            *sizes(connection, table),
        )
        for storage, table in tables.items()
    ]


def copy(connection: psycopg.Connection, table: Identifier, storage: str, target: int) -> None:
    """A copy of the gallery with the embedding in that storage."""
    connection.execute(SQL("CREATE TABLE {} (LIKE celebrities)").format(table))
    connection.execute(SQL("ALTER TABLE {} ALTER embedding SET STORAGE {}").format(table, SQL(storage)))
    connection.execute(SQL("ALTER TABLE {} SET (toast_tuple_target = {})").format(table, target))
    connection.execute(SQL("INSERT INTO {} SELECT * FROM celebrities").format(table))
    connection.execute(SQL("VACUUM ANALYZE {}").format(table))


def timed(connection: psycopg.Connection, query: Composed) -> float:
    """Milliseconds until the last row is here."""
    started = time.perf_counter()
    connection.execute(query).fetchall()
    return (time.perf_counter() - started) * 1000


def sizes(connection: psycopg.Connection, table: str) -> tuple[float, float]:
    """Megabytes of the table and of its TOAST table."""
    row = connection.execute(
        "SELECT pg_relation_size(oid) / 1e6, pg_relation_size(reltoastrelid) / 1e6"
        " FROM pg_class WHERE oid = %s::regclass",
        [table],
    ).fetchone()
    assert row is not None
    return float(row[0]), float(row[1])


if __name__ == "__main__":
    typer.run(main)
