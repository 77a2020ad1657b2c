"""Uploads on the database alone: how many a second it stores and matches, and what it waits for.

Models are replaced by stored results, and short lists of celebrities by random ones; everything else is what
the service runs: the upload's limit and transaction, its triggers, the queue, the scoring in SQL, the events.
Users upload at random times that do not wait for answers (Poisson arrivals); a worker takes the jobs, as many
at a time as the service's. Meanwhile the server is asked twenty times a second what its sessions wait for.
Clients and server share the machine, and the processor's time of each is counted.

    python -m benchmarks.uploads
    python -m benchmarks.uploads --rate 200 --rate 400 --seconds 30 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import numpy as np
import psutil
import typer
import uvloop
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.footprint import seconds as processor_seconds
from benchmarks.population import COLUMNS, people
from db.analyzed import AnalyzedRow
from db.faces import FaceRow, Faces
from db.jobs import ClaimedJob, MatchJobs
from db.pool import Database
from db.system_settings import SystemSettings
from matching.gallery import Shortlist
from matching.store import Matching, MatchRules, ProbeFace
from matching.worker import TOGETHER
from semblance.leased_queue import QueueWorker
from semblance.types import JobOutcome

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
    sessions did, in shares. cpu: milliseconds of the processor by what ran, those of match jobs for an upload
    that is matched, the others for one that is stored. busy: cores that all of it kept busy."""

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
    cpu: dict[str, float]
    busy: float


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
    at_once: Annotated[int, typer.Option(help="Uploads at a time, and match jobs at a time.")] = TOGETHER,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, upload and match, on a separate embedded server."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn:
        world = World(users, school, celebrities)
        runs = uvloop.run(_measure(dsn, world, rate or [50, 100, 200, 400], seconds, at_once))
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
    costs = Table("offered /s", title="Milliseconds of the processor for each upload")
    for name in runs[0].cpu:
        costs.add_column(name, justify="right")
    costs.add_column("cores busy", justify="right")
    for run in runs:
        costs.add_row(
            f"{run.offered:.0f}", *(f"{spent:.1f}" for spent in run.cpu.values()), f"{run.busy:.1f}"
        )
    console.print(costs)
    if as_json:
        ratios = {f"matched/offered at {run.offered:.0f}": run.matched / run.offered for run in runs}
        print(
            json.dumps({"benchmark": "uploads", "results": [asdict(run) for run in runs], "ratios": ratios})
        )


async def _measure(
    dsn: str, world: World, rates: list[float], seconds: float, at_once: int
) -> list[UploadRun]:
    async with AsyncExitStack() as stack:
        clients = {}
        for name in ("uploads", "match jobs", "observer"):
            named = make_conninfo(dsn, application_name=name)
            clients[name] = await Database.connect(named, pool_size=at_once + 2, command_seconds=600)
            stack.push_async_callback(clients[name].close)
        ids = await _fill(clients["observer"], world)
        runs = []
        for offered in rates:
            runs.append(await _run(clients, ids, offered, seconds, at_once))
            await clients["observer"].execute("DELETE FROM match_jobs")
        return runs


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
    # Not the tables that are empty: sessions would keep plans that read all of these, until autovacuum looks.
    await database.execute("ANALYZE profiles, faces, celebrities")
    await database.execute("UPDATE system_settings SET value = '-1' WHERE key = 'daily_photo_upload_limit'")
    return profiles, gallery


async def _run(
    clients: Mapping[str, Database],
    world: tuple[list[UUID], list[UUID]],
    offered: float,
    seconds: float,
    at_once: int,
) -> UploadRun:
    profiles, gallery = world
    random, faces, clocks = np.random.default_rng(2), Faces(clients["uploads"]), Clocks()
    # Each photo once: the vector index would add the same embedding to what it has for next to nothing.
    count = int(2 * offered * seconds) + 100
    rows = people(np.random.default_rng(int(offered)), count, 0)
    order = iter(random.permutation(count))
    waits: Counter[str] = Counter()
    turn = asyncio.Semaphore(at_once)

    async def upload(profile: UUID, row: FaceRow) -> None:
        arrived = clocks.arrived[row.id] = time.perf_counter()
        async with turn:
            await faces.begin_upload(profile, row.image_hash)
            await faces.add(row)
        clocks.stored.append(time.perf_counter() - arrived)

    async def sample() -> None:
        while True:
            waits.update(row["waits_for"] for row in await clients["observer"].fetch(WAITS))
            await asyncio.sleep(0.05)

    before = await _spent(clients["observer"])
    others = [
        asyncio.create_task(_work(clients["match jobs"], gallery, clocks, at_once)),
        asyncio.create_task(sample()),
    ]
    uploads: list[asyncio.Task[None]] = []
    began = time.perf_counter()
    due = began
    while (due := due + random.exponential(1 / offered)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        profile = profiles[random.integers(len(profiles))]
        uploads.append(asyncio.create_task(upload(profile, _face(profile, rows[next(order)]))))
    took = time.perf_counter() - began
    stored, matched = len(clocks.stored), len(clocks.matched)
    left = len(uploads) - matched
    after = await _spent(clients["observer"])
    for task in (*uploads, *others):
        task.cancel()
    ends = await asyncio.gather(*uploads, *others, return_exceptions=True)
    for problem in ends:
        if isinstance(problem, Exception):
            raise problem
    spent = {name: after[name] - before[name] for name in after}
    # What one process does for both halves goes by uploads that are stored.
    each = {name: matched if name == "match jobs" else stored for name in spent}
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
        cpu={name: 1000 * spent[name] / max(1, each[name]) for name in spent},
        busy=sum(spent.values()) / took,
    )


async def _work(database: Database, gallery: list[UUID], clocks: Clocks, at_once: int) -> None:
    """The loop of the match worker, without the search for a short list."""
    jobs, matching, me = MatchJobs(database), Matching(database), uuid4()
    random = np.random.default_rng(me.int % 2**32)

    async def attempt(job: ClaimedJob) -> JobOutcome:
        probe, rules = ProbeFace.of(job.face_id, job.face), MatchRules.of(SystemSettings.of(job.settings))
        shortlist = [gallery[place] for place in random.integers(len(gallery), size=SHORTLIST)]
        result = await matching.complete(job, probe, rules, Shortlist(shortlist))
        if result is None:
            return JobOutcome(job.id, "lost")
        if (arrived := clocks.arrived.pop(job.face_id, None)) is not None:
            clocks.matched.append(time.perf_counter() - arrived)
        return JobOutcome(job.id, "completed", result.user_matches, result.celebrity_matches)

    worker = QueueWorker(
        jobs, attempt, worker=me, noun="match job", together=at_once, lease=timedelta(minutes=1)
    )
    working = asyncio.create_task(worker.run())
    try:
        async with aclosing(database.notifications("match_jobs")) as notifications:
            async for _ in notifications:
                worker.wake()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await worker.release()


async def _spent(database: Database) -> dict[str, float]:
    """Seconds of the processor so far: of this process, of the server's sessions by what they do, and of its
    other processes that still run."""
    roles = {
        row["pid"]: row["application_name"]
        for row in await database.fetch("SELECT pid, application_name FROM pg_stat_activity")
    }
    postmaster = psutil.Process(await database.fetchval("SELECT pg_backend_pid()")).parent()
    if postmaster is None:
        raise AssertionError("A session has a parent.")
    spent = dict.fromkeys(("clients", "uploads", "match jobs", "rest of the server"), 0.0)
    spent["clients"] = processor_seconds(psutil.Process())
    for process in postmaster.children():
        name = roles.get(process.pid, "")
        with suppress(psutil.Error):
            spent[name if name in spent else "rest of the server"] += processor_seconds(process)
    return spent


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
