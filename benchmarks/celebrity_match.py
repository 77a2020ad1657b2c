"""What finding one face's best 20 celebrities costs, exactly and by the full score of six factors.

Five ways over the same synthetic gallery, whose embeddings cluster like identities:

    old           a PL/pgSQL function called for every row, as the old app did
    sql           the six factors as one set-based SQL expression over all rows
    ours          a whole match job: claim, face, rules, gallery in memory, exact scores in SQL, rows written
    ours, search  of it the gallery in memory alone, which gives the short list
    NumPy         the factors over resident arrays and the best of them, no filter and no database

Every result of ours is compared with `sql`: the same celebrities in the same order, each person once by the
best photo. The old app and NumPy count photos. A second round of jobs, which find the rows as they are, shows
what each step of a job takes.

One thread and uvloop, as Ray gives the replicas of the service:

    OMP_NUM_THREADS=1 python -m benchmarks.celebrity_match
    OMP_NUM_THREADS=1 python -m benchmarks.celebrity_match --million --dimensions 128

A million celebrities take longer to fill than to measure. `--keep FOLDER` keeps the databases, and `--fill`
stops once they are filled.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID, uuid4

import numpy as np
import typer
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.database import kept_database, scratch_database
from benchmarks.population import COLUMNS, DIGEST, people
from benchmarks.steps import StepTimes
from db.copy_arrays import read_rows
from db.pool import Database
from db.queries import sql
from matching.celebrity_search import CelebritySearch
from matching.gallery import ROW, GalleryQuery
from matching.rows import traits_of
from matching.scoring import AGE_TABLE, BEST, OTHER_EXPRESSION_FACTOR, SKIN_TONE_SCALE, score
from matching.store import Matching
from matching.traits import Floats, Traits
from matching.worker import MatchWorker
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import AnalyzedFace, Detection, ModelInfo
from semblance.weights import FACTORS, Weights

CHUNK = 10_000
PROBES = 40
AT_ONCE = 8

OLD_FUNCTION = """
CREATE OR REPLACE FUNCTION calculate_advanced_similarity(
    query_embedding vector, target_embedding vector, query_geometry jsonb, target_geometry jsonb,
    query_age integer, target_age integer, query_symmetry float8, target_symmetry float8,
    query_skin float8[], target_skin float8[], query_expression text, target_expression text, weights jsonb
) RETURNS float8 LANGUAGE plpgsql STABLE AS $$
DECLARE
    embedding_score float8 := 0;
    geometry_score float8;
    age_score float8;
    gap integer := abs(coalesce(query_age, 25) - coalesce(target_age, 25));
    symmetry_score float8;
    skin_score float8;
    expression_score float8;
BEGIN
    IF query_embedding IS NOT NULL AND target_embedding IS NOT NULL THEN
        embedding_score := greatest(0, 1 - (query_embedding <=> target_embedding));
    END IF;
    geometry_score := 1 - least(1, sqrt(
        power(coalesce((query_geometry ->> 'face_width_height_ratio')::float8, 0.75)
            - coalesce((target_geometry ->> 'face_width_height_ratio')::float8, 0.75), 2)
        + power(coalesce((query_geometry ->> 'eye_spacing_face_width')::float8, 0.42)
            - coalesce((target_geometry ->> 'eye_spacing_face_width')::float8, 0.42), 2)
        + power(coalesce((query_geometry ->> 'jawline_width_face_width')::float8, 0.68)
            - coalesce((target_geometry ->> 'jawline_width_face_width')::float8, 0.68), 2)
        + power(coalesce((query_geometry ->> 'nose_width_face_width')::float8, 0.25)
            - coalesce((target_geometry ->> 'nose_width_face_width')::float8, 0.25), 2)
    ));
    IF gap <= 2 THEN
        age_score := 1.0;
    ELSIF gap <= 5 THEN
        age_score := 0.9;
    ELSIF gap <= 10 THEN
        age_score := 0.7;
    ELSE
        age_score := 0.5;
    END IF;
    symmetry_score := (coalesce(query_symmetry, 0.75) + coalesce(target_symmetry, 0.75)) / 2;
    skin_score := 1 - least(1, sqrt(
        power(coalesce(query_skin[1], 65) - coalesce(target_skin[1], 65), 2)
        + power(coalesce(query_skin[2], 10) - coalesce(target_skin[2], 10), 2)
        + power(coalesce(query_skin[3], 20) - coalesce(target_skin[3], 20), 2)
    ) / 100);
    IF coalesce(query_expression, 'neutral') = coalesce(target_expression, 'neutral') THEN
        expression_score := 1.0;
    ELSE
        expression_score := 0.6;
    END IF;
    RETURN least(1, greatest(0,
        (weights ->> 'embedding')::float8 * embedding_score
        + (weights ->> 'geometry')::float8 * geometry_score
        + (weights ->> 'age')::float8 * age_score
        + (weights ->> 'symmetry')::float8 * symmetry_score
        + (weights ->> 'skin_tone')::float8 * skin_score
        + (weights ->> 'expression')::float8 * expression_score
    ));
END
$$;
"""

OLD = """
    SELECT id FROM (
        SELECT celebrities.id, calculate_advanced_similarity(
            faces.embedding, celebrities.embedding, faces.geometry_ratios, celebrities.geometry_ratios,
            faces.age, celebrities.age, faces.symmetry_score, celebrities.symmetry_score,
            faces.skin_tone_lab, celebrities.skin_tone_lab, faces.expression, celebrities.expression, $2
        ) AS score
        FROM faces
        JOIN profiles ON profiles.id = faces.profile_id
        JOIN celebrities ON celebrities.gender <> profiles.gender
            AND coalesce(celebrities.quality_score, 0.6) >= 0.6
        WHERE faces.id = $1
    ) AS scored
    WHERE score >= $3 ORDER BY score DESC, id LIMIT 20
"""

SET_BASED = """
    SELECT id FROM (
        SELECT DISTINCT ON (person) id, score FROM (
        SELECT target.id, target.person, match_score(
            embedding_factor(probe.embedding, target.embedding),
            geometry_factor(probe.geometry, target.geometry),
            age_factor(probe.age, target.age),
            symmetry_factor(probe.symmetry, target.symmetry),
            skin_tone_factor(probe.skin_tone, target.skin_tone),
            expression_factor(probe.expression, target.expression),
            $2
        ) AS score
        -- OFFSET 0: what is missing is completed once a row, not once for every place it is used at.
        FROM (SELECT * FROM face_traits WHERE id = $1 OFFSET 0) AS probe
        CROSS JOIN LATERAL (
            SELECT celebrity_traits.*
            FROM celebrity_traits
            WHERE pack_digest = probe.pack_digest AND quality >= 0.6
                AND gender <> (SELECT gender FROM profiles WHERE id = probe.profile_id)
            OFFSET 0
        ) AS target
        ) AS scored
        WHERE score >= $3 ORDER BY person, score DESC, id
    ) AS best
    ORDER BY score DESC, id LIMIT 20
"""


@dataclass(slots=True)
class GalleryResult:
    """One gallery: milliseconds by way, one at a time (p50) and AT_ONCE at once (p95).

    steps_ms: of `again_ms`, a job that finds its rows written.
    """

    celebrities: int
    old_ms: float
    sql_ms: float
    ours_ms: float
    again_ms: float
    search_ms: float
    numpy_ms: float
    old_p95_at_once_ms: float
    ours_p95_at_once_ms: float
    search_p95_at_once_ms: float
    identical: bool
    load_seconds: float
    restart_seconds: float
    bytes_each: float
    steps_ms: dict[str, float]


class _NoModels:
    """All faces here are analyzed already."""

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        raise NotImplementedError


def main(  # noqa: PLR0917 - options of a command
    million: Annotated[bool, typer.Option("--million", help="Also 1,000,000 celebrities.")] = False,
    sizes: Annotated[list[int] | None, typer.Option("--size", help="These sizes instead.")] = None,
    dimensions: Annotated[int, typer.Option(help="Of embeddings; the open pack has 128.")] = 512,
    keep: Annotated[Path | None, typer.Option(help="Keep the filled databases here, and use them.")] = None,
    only_fill: Annotated[bool, typer.Option("--fill", help="Fill the databases and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill galleries of growing size and time all ways on each."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    wanted = sizes or [10_000, 100_000, *([1_000_000] if million else [])]
    results = []
    for size in wanted:
        kept = None if keep is None else keep / f"{size}x{dimensions}"
        with filled(kept, size, dimensions) as dsn, tempfile.TemporaryDirectory() as home:
            if not only_fill:
                results.append(uvloop.run(measure(dsn, size, Settings(home=Path(home)))))

    for table in tables(results):
        console.print(table)
    ratios: dict[str, float] = {}
    for result in results:
        size = result.celebrities
        ratios[f"old_to_ours_{size}"] = result.old_ms / result.ours_ms
        ratios[f"old_to_ours_{AT_ONCE}_at_once_{size}"] = (
            result.old_p95_at_once_ms / result.ours_p95_at_once_ms
        )
        ratios[f"search_to_numpy_{size}"] = result.search_ms / result.numpy_ms
    for name, ratio in ratios.items():
        console.print(f"{name}: {ratio:.2f}")
    if as_json:
        found = [asdict(result) for result in results]
        print(json.dumps({"benchmark": "celebrity_match", "results": found, "ratios": ratios}))


WAYS = {
    "old": ("old_ms", "old_p95_at_once_ms"),
    "sql": ("sql_ms", None),
    "ours": ("ours_ms", "ours_p95_at_once_ms"),
    "ours, nothing changed": ("again_ms", None),
    "ours, search": ("search_ms", "search_p95_at_once_ms"),
    "NumPy": ("numpy_ms", None),
}
"""Fields of a GalleryResult, by way."""


def tables(results: Sequence[GalleryResult]) -> tuple[Table, Table, Table]:
    """The times, those of a job's steps, and what is to be known about the gallery in memory."""
    times = Table("celebrities", "way", title=f"One face's best {BEST}, milliseconds")
    steps = Table("celebrities", "step", title="Steps of a job, milliseconds, those within others included")
    steps.add_column("p50", justify="right")
    galleries = Table("celebrities", title="Ours")
    for heading in ("alone, p50", f"{AT_ONCE} at once, p95"):
        times.add_column(heading, justify="right")
    for heading in ("same as sql", "seconds to load", "after a restart", "bytes each"):
        galleries.add_column(heading, justify="right")
    for result in results:
        size = f"{result.celebrities:,}"
        for way, fields in WAYS.items():
            times.add_row(size, way, *(f"{getattr(result, name):,.1f}" if name else "" for name in fields))
        times.add_section()
        for name, milliseconds in result.steps_ms.items():
            steps.add_row(size, name, f"{milliseconds:.2f}")
        steps.add_section()
        same = "yes" if result.identical else "NO"
        seconds = (f"{result.load_seconds:.1f}", f"{result.restart_seconds:.2f}")
        galleries.add_row(size, same, *seconds, f"{result.bytes_each:.0f}")
    return times, steps, galleries


@contextmanager
def filled(folder: Path | None, size: int, dimensions: int) -> Iterator[str]:
    """The DSN of a database with a gallery and PROBES faces. folder: where it is kept; None: nowhere."""
    with scratch_database() if folder is None else kept_database(folder) as dsn:
        asyncio.run(fill(dsn, size, dimensions))
        yield dsn


async def measure(dsn: str, size: int, settings: Settings) -> GalleryResult:
    """Time each way."""
    database = await Database.connect(dsn, pool_size=AT_ONCE + 2)
    faces = [row["id"] for row in await database.fetch("SELECT id FROM faces ORDER BY image_path")]
    weights = Weights()
    terms = (weights.as_dict(), 0.5)
    worker = MatchWorker(
        database, open_storage(settings), _NoModels(), ModelInfo("synthetic", DIGEST), settings
    )
    # The slow ways take seconds with 100,000 celebrities, and ten times as long with a million.
    few, crowd, compared = (1, AT_ONCE, 5) if size > 10 * CHUNK else (3, 2 * AT_ONCE, PROBES)

    async def by_query(query: str, face: UUID) -> list[UUID]:
        return [row["id"] for row in await database.fetch(query, face, *terms)]

    old_ms = await typical(lambda face: by_query(OLD, face), faces[:few])
    sql_ms = await typical(lambda face: by_query(SET_BASED, face), faces[:few])
    old_at_once = await crowded(lambda face: by_query(OLD, face), faces[:crowd])

    folder = settings.home / "gallery"
    search, matching = CelebritySearch(database, folder), Matching(database)
    probes = [probe for face in faces if (probe := await matching.probe(face)) is not None]
    wanted = [GalleryQuery(probe.traits, probe.gender) for probe in probes]

    async def by_search(probe: GalleryQuery) -> None:
        await search.shortlist(probe, DIGEST, *(weights, 0.5))

    started = time.perf_counter()
    await by_search(wanted[0])
    load_seconds = time.perf_counter() - started
    started = time.perf_counter()
    await CelebritySearch(database, folder).prepare(DIGEST)
    restart_seconds = time.perf_counter() - started
    search_ms = await typical(by_search, wanted)
    search_at_once = await crowded(by_search, wanted * 5)

    async def by_job(_: UUID) -> None:
        (outcome,) = await worker.process(1)
        assert outcome.celebrity_matches == BEST, outcome

    await queue(database, faces)
    await by_job(faces[0])
    ours_ms = await typical(by_job, faces[1:])
    await queue(database, faces)
    steps = StepTimes()
    with steps.recorded():
        again_ms = await typical(by_job, faces)
    await queue(database, faces * 5)
    ours_at_once = await crowded(by_job, faces * 5)

    identical = True
    for face in faces[:compared]:
        rows = await database.fetch(
            "SELECT celebrity_id FROM celebrity_matches WHERE face_id = $1"
            " ORDER BY similarity_score DESC, celebrity_id",
            face,
        )
        identical &= [row["celebrity_id"] for row in rows] == await by_query(SET_BASED, face)
    numpy_ms = bare(await gallery(database), [probe.traits for probe in probes], weights)
    await database.close()
    return GalleryResult(
        celebrities=size,
        old_ms=old_ms,
        sql_ms=sql_ms,
        ours_ms=ours_ms,
        again_ms=again_ms,
        search_ms=search_ms,
        numpy_ms=numpy_ms,
        old_p95_at_once_ms=old_at_once,
        ours_p95_at_once_ms=ours_at_once,
        search_p95_at_once_ms=search_at_once,
        identical=identical,
        load_seconds=load_seconds,
        restart_seconds=restart_seconds,
        bytes_each=sum(path.stat().st_size for path in folder.iterdir()) / size,
        steps_ms=steps.milliseconds(),
    )


async def fill(dsn: str, size: int, dimensions: int) -> None:
    """Insert the gallery and PROBES women, each at her own school and like somebody in the gallery, unless
    they are there. Matches of an earlier run are removed, and what a fill that was interrupted left."""
    database = await Database.connect(dsn)
    if await database.fetchval("SELECT count(*) FROM faces"):
        await database.execute("TRUNCATE celebrity_matches")
        await database.close()
        return
    await database.execute("TRUNCATE celebrities CASCADE")
    index = await database.fetchval("SELECT pg_get_indexdef(to_regclass('celebrities_embedding_half_idx'))")
    await database.execute("DROP INDEX IF EXISTS celebrities_embedding_half_idx")
    await database.execute(OLD_FUNCTION)
    random = np.random.default_rng(0)
    for start in range(0, size, CHUNK):
        rows = people(random, min(CHUNK, size - start), start, dimensions)
        records = [tuple(row[name] for name in COLUMNS) for row in rows]
        async with database.transaction() as connection:
            await connection.copy_records_to_table("celebrities", records=records, columns=COLUMNS)
    if size <= CHUNK and index is not None:
        # Nothing here uses it, and for 100,000 rows it takes a minute.
        await database.execute(index)
    await database.execute("VACUUM ANALYZE")
    columns = ("profile_id", *(name for name in COLUMNS if name not in {"name", "category"}))
    async with database.transaction() as connection:
        for row in people(np.random.default_rng(0), PROBES, 0, dimensions):
            user = uuid4()
            await connection.execute(
                "INSERT INTO profiles (id, profile_type, gender, school) VALUES ($1, 'user', 'female', $2)",
                *(user, str(user)),
            )
            record = tuple(user if name == "profile_id" else row[name] for name in columns)
            await connection.copy_records_to_table("faces", records=[record], columns=columns)
    await database.execute("VACUUM ANALYZE faces, profiles")
    await database.close()


async def gallery(database: Database) -> Traits:
    """The celebrities' traits in float32."""
    parts: list[Traits] = []
    async with database.transaction(readonly=True) as connection:
        await read_rows(
            connection,
            *(sql.read_gallery, DIGEST, None),
            row=ROW,
            take=lambda rows: parts.append(traits_of(rows)),
        )
    return Traits.joined(parts)


async def queue(database: Database, faces: list[UUID]) -> None:
    """One job per face, for celebrities alone; nothing else waits."""
    await database.execute("DELETE FROM match_jobs")
    await database.execute(
        """
        INSERT INTO match_jobs (face_id, user_id, job_type)
        SELECT face_id, profile_id, 'celebrity_match'
        FROM unnest($1::uuid[]) AS face_id JOIN faces ON faces.id = face_id
        """,
        faces,
    )


async def typical(way: Callable[[Any], Awaitable[object]], arguments: list[Any]) -> float:
    """Milliseconds, median, one after the other."""
    times = []
    for argument in arguments:
        started = time.perf_counter()
        await way(argument)
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times))


async def crowded(way: Callable[[Any], Awaitable[object]], arguments: list[Any]) -> float:
    """Milliseconds, 95th percentile, with AT_ONCE at a time."""
    waiting, times = list(arguments), []

    async def client() -> None:
        while waiting:
            argument = waiting.pop()
            started = time.perf_counter()
            await way(argument)
            times.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return float(np.percentile(times, 95))


def bare(gallery: Traits, rows: list[Any], weights: Weights) -> float:
    """Milliseconds, median, of all factors and the best 20 over resident arrays."""
    times = []
    for row in rows[:10]:
        started = time.perf_counter()
        scores = score(all_factors(Traits.of([row], np.float32), gallery), weights)[0]
        best = np.argpartition(-scores, BEST)[:BEST]
        best[np.argsort(-scores[best])]
        times.append((time.perf_counter() - started) * 1000)
    return float(np.median(times))


def all_factors(a: Traits, b: Traits) -> Floats:
    """The six factors of every face of `a` with every face of `b`, in float32: [6, A, B]."""
    found = np.empty((len(FACTORS), len(a), len(b)), np.float32)
    np.clip(a.embedding @ b.embedding.T, 0, 1, out=found[0])
    np.subtract(1, np.minimum(distances(a.geometry, b.geometry), 1), out=found[1])
    found[2] = AGE_TABLE.astype(np.float32)[np.abs(a.age[:, None] - b.age)]
    np.multiply(a.symmetry[:, None] + b.symmetry, 0.5, out=found[3])
    np.subtract(1, np.minimum(distances(a.skin_tone, b.skin_tone) / SKIN_TONE_SCALE, 1), out=found[4])
    found[5] = np.where(a.expression[:, None] == b.expression, 1, OTHER_EXPRESSION_FACTOR)
    return found


def distances(a: Floats, b: Floats) -> Floats:
    """Euclidean distances of the columns of [D, A] and [D, B]: [A, B]."""
    total = np.square(a[0][:, None] - b[0])
    for one, other in zip(a[1:], b[1:], strict=True):
        total += np.square(one[:, None] - other)
    root: Floats = np.sqrt(total, out=total)
    return root


if __name__ == "__main__":
    typer.run(main)
