"""Uploads on the database alone: how many a second it stores and matches, and what it waits for.

Models are replaced by stored results, and short lists of celebrities by random ones; everything else is what
the service runs: the upload's limit and transaction, its triggers, the queue, the scoring in SQL, the events.
Users upload at random times that do not wait for answers (Poisson arrivals), workers take the jobs. Meanwhile
the server is asked a hundred times a second what its sessions wait for. Clients and server share the machine.

    python -m benchmarks.uploads
    python -m benchmarks.uploads --rate 200 --rate 400 --seconds 30 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.population import COLUMNS, people
from db.analyzed import AnalyzedRow
from db.faces import FaceRow, Faces
from db.jobs import MatchJobs
from db.pool import Database
from matching.gallery import Shortlist
from matching.store import Matching

SHORTLIST = 60
"""Celebrities of a short list; the resident gallery gives about as many."""

WAITS = """
    SELECT coalesce(wait_event_type || ': ' || wait_event, 'CPU') AS waits_for
    FROM pg_stat_activity
    WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@dataclass(slots=True)
class UploadRun:
    """One rate, which was asked for. offered, stored, matched: what came of it, a second, the latter two
    until the last upload was offered. Times in milliseconds from the arrival. waits: what the server's active
    sessions did, in shares."""

    rate: float
    offered: float
    stored: float
    matched: float
    stored_p50: float
    stored_p95: float
    matched_p50: float
    matched_p95: float
    left: int
    waits: dict[str, float]


@dataclass(slots=True)
class Clocks:
    """Seconds from arrival to commit, by upload, and the arrivals that are not matched yet."""

    stored: list[float] = field(default_factory=list)
    matched: list[float] = field(default_factory=list)
    arrived: dict[UUID, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class World:
    """What there is to be matched with. school: users of one."""

    users: int
    school: int
    celebrities: int


def main(  # noqa: PLR0917 - a command's options
    rate: Annotated[list[float] | None, typer.Option(help="Uploads a second; may be repeated.")] = None,
    seconds: Annotated[float, typer.Option(help="How long at each rate.")] = 15.0,
    users: Annotated[int, typer.Option(help="Users with a face.")] = 10_000,
    school: Annotated[
        int, typer.Option(help="Users of a school; a face is scored against half of them.")
    ] = 100,
    celebrities: Annotated[int, typer.Option(help="Size of the gallery.")] = 2_000,
    workers: Annotated[int, typer.Option(help="Match jobs at a time.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, upload and match, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn:
        world = World(users, school, celebrities)
        runs = asyncio.run(_measure(dsn, world, rate or [50, 100, 200, 400], seconds, workers))
    table = Table("offered /s", "stored", "matched", title="Uploads on the database alone, milliseconds")
    for heading in ("stored p50", "p95", "matched p50", "p95", "left"):
        table.add_column(heading, justify="right")
    table.add_column("sessions")
    for run in runs:
        most = ", ".join(f"{name} {share:.0%}" for name, share in list(run.waits.items())[:4])
        table.add_row(
            f"{run.offered:.0f}", f"{run.stored:.0f}", f"{run.matched:.0f}", f"{run.stored_p50:.0f}",
            f"{run.stored_p95:.0f}", f"{run.matched_p50:.0f}", f"{run.matched_p95:.0f}", f"{run.left:,}",
            most,
        )  # fmt: skip
    console.print(table)
    if as_json:
        ratios = {f"matched/offered at {run.offered:.0f}": run.matched / run.offered for run in runs}
        print(
            json.dumps({"benchmark": "uploads", "results": [asdict(run) for run in runs], "ratios": ratios})
        )


async def _measure(
    dsn: str, world: World, rates: list[float], seconds: float, workers: int
) -> list[UploadRun]:
    database = await Database.connect(dsn, pool_size=2 * workers + 4, command_seconds=600)
    try:
        ids = await _fill(database, world)
        runs = []
        for offered in rates:
            runs.append(await _run(database, ids, offered, seconds, workers))
            await database.execute("DELETE FROM match_jobs")
        return runs
    finally:
        await database.close()


async def _fill(database: Database, world: World) -> tuple[list[UUID], list[UUID]]:
    """Ids of users and of celebrities."""
    random = np.random.default_rng(0)
    profiles = [uuid4() for _ in range(world.users)]
    gallery: list[UUID] = []
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.executemany(
            "INSERT INTO profiles (id, profile_type, gender, school) VALUES ($1, 'user', $2, $3)",
            [
                (key, ("male", "female")[place % 2], f"school {place // world.school}")
                for place, key in enumerate(profiles)
            ],
        )
        for start in range(0, world.celebrities, 1000):
            rows = people(random, min(1000, world.celebrities - start), start)
            gallery += [row["id"] for row in rows]
            await connection.copy_records_to_table(
                "celebrities", records=[tuple(row[name] for name in COLUMNS) for row in rows], columns=COLUMNS
            )
        names = [name for name in COLUMNS if name not in {"name", "category"}]
        for start in range(0, world.users, 1000):
            rows = people(random, min(1000, world.users - start), 1_000_000 + start)
            await connection.copy_records_to_table(
                "faces",
                records=[
                    (profiles[start + place], *(row[name] for name in names))
                    for place, row in enumerate(rows)
                ],
                columns=["profile_id", *names],
            )
    await database.execute("ANALYZE")
    await database.execute("UPDATE system_settings SET value = '-1' WHERE key = 'daily_photo_upload_limit'")
    return profiles, gallery


async def _run(
    database: Database, world: tuple[list[UUID], list[UUID]], offered: float, seconds: float, workers: int
) -> UploadRun:
    profiles, gallery = world
    rows = people(np.random.default_rng(1), 1000, 0)
    random, faces, clocks = np.random.default_rng(2), Faces(database), Clocks()
    waits: Counter[str] = Counter()
    turn = asyncio.Semaphore(workers)
    ended = asyncio.Event()

    async def upload(profile: UUID, row: FaceRow) -> None:
        arrived = clocks.arrived[row.id] = time.perf_counter()
        async with turn:
            await faces.begin_upload(profile, row.image_hash)
            await faces.add(row)
        clocks.stored.append(time.perf_counter() - arrived)

    async def sample() -> None:
        while not ended.is_set():
            waits.update(row["waits_for"] for row in await database.fetch(WAITS))
            await asyncio.sleep(0.01)

    working = [asyncio.create_task(_work(database, gallery, clocks, ended)) for _ in range(workers)]
    sampling = asyncio.create_task(sample())
    uploads: list[asyncio.Task[None]] = []
    began = time.perf_counter()
    due = began
    while (due := due + random.exponential(1 / offered)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        profile = profiles[random.integers(len(profiles))]
        uploads.append(asyncio.create_task(upload(profile, _face(profile, rows[random.integers(len(rows))]))))
    took = time.perf_counter() - began
    stored, matched = len(clocks.stored), len(clocks.matched)
    left = len(uploads) - matched
    for task in uploads:
        task.cancel()
    await asyncio.gather(*uploads, return_exceptions=True)
    ended.set()
    await asyncio.gather(sampling, *working)
    total = sum(waits.values()) or 1
    milliseconds = [
        [1000 * float(np.quantile(taken, share)) for share in (0.5, 0.95)]
        for taken in (clocks.stored, clocks.matched)
    ]
    return UploadRun(
        rate=offered,
        offered=len(uploads) / took,
        stored=stored / took,
        matched=matched / took,
        stored_p50=milliseconds[0][0],
        stored_p95=milliseconds[0][1],
        matched_p50=milliseconds[1][0],
        matched_p95=milliseconds[1][1],
        left=left,
        waits={name: count / total for name, count in waits.most_common()},
    )


async def _work(database: Database, gallery: list[UUID], clocks: Clocks, ended: asyncio.Event) -> None:
    """A worker of match jobs, without the search for a short list."""
    jobs, matching, me = MatchJobs(database), Matching(database), uuid4()
    random = np.random.default_rng(me.int % 2**32)
    while not ended.is_set():
        claimed = await jobs.claim(me, 1, timedelta(minutes=1))
        if not claimed:
            await asyncio.sleep(0.01)
        for job in claimed:
            probe = await matching.probe(job.face_id)
            if probe is None:
                continue
            rules = await matching.rules()
            shortlist = [gallery[place] for place in random.integers(len(gallery), size=SHORTLIST)]
            await matching.complete(job, probe, rules, Shortlist(shortlist))
            with suppress(KeyError):
                clocks.matched.append(time.perf_counter() - clocks.arrived.pop(job.face_id))


def _face(profile: UUID, row: dict[str, Any]) -> FaceRow:
    key = uuid4()
    own = {name: row[name] for name in AnalyzedRow.__dataclass_fields__ if name in row}
    return FaceRow(
        **own,
        blur_score=0.9,
        illumination_score=0.9,
        landmarks_68=[[float(place), float(place)] for place in range(68)],
        pose={"yaw": 0.0, "pitch": 0.0, "roll": 0.0},
        expression_confidence=0.9,
        emotion_scores={row["expression"]: 1.0},
        analyzed_at=datetime.now(UTC),
        id=key,
        profile_id=profile,
        image_path=f"faces/{profile}/{key}.jpg",
        image_hash=key.hex,
        gender=row["gender"],
    )


if __name__ == "__main__":
    typer.run(main)
