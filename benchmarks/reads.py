"""What the API adds to its plain reads: the time of an answer, compared with the time of its statements
alone.

A database is filled with profiles, faces, matches, reactions and notifications. `/api/matches/top`, signed
out and signed in, and `/api/notifications` are requested over kept-alive connections, each of which sends its
next request when it is answered. For comparison the same statements run on as many connections to the
database, by the API's driver: the time of an API that did nothing else. The two take turns.

    python -m benchmarks.reads            # the API as one process, uvicorn
    python -m benchmarks.reads --stack    # as it is deployed: through Ray Serve and its proxy
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

import numpy as np
import psycopg
import typer
from fastapi import FastAPI
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from benchmarks.stack import access_token, environment, running_stack, wait_for
from db.matches import Matches
from db.notifications import Notifications
from db.pool import Database
from db.profiles import Profiles
from db.repositories import Repositories
from deployments.packs.calibration import SimilarityScale
from matching.celebrity_search import CelebritySearch
from semblance.settings import get_settings
from semblance.storage.opening import open_storage
from semblance.types import ModelInfo
from serve_app.api.factory import create_app
from serve_app.api.services import Services
from serve_app.auth import TokenVerifier
from serve_app.realtime.hub import Hub

# Without triggers and checks of foreign keys, which would take most of the time.
FILL = """
    SET session_replication_role = replica;
    DROP INDEX faces_embedding_half_idx;

    INSERT INTO profiles (id, profile_type, name, email, gender, school, last_seen)
    SELECT
        md5('profile' || i)::uuid, 'user', 'Person ' || i, 'person' || i || '@school.edu',
        (ARRAY['male', 'female'])[1 + i % 2], 'school ' || i % 100, now() - random() * interval '1 day'
    FROM generate_series(1, {profiles}) AS i;

    INSERT INTO faces (id, profile_id, image_path, image_hash, embedding, pack_digest, created_at)
    SELECT
        md5('face' || i)::uuid, md5('profile' || 1 + i % {profiles})::uuid,
        'faces/' || md5('profile' || 1 + i % {profiles})::uuid || '/' || md5('face' || i)::uuid || '.jpg',
        md5('picture' || i), array_fill(1 + random()::real, ARRAY[512])::vector, repeat('a', 64),
        now() - random() * interval '30 days'
    FROM generate_series(1, {faces}) AS i;

    INSERT INTO matches (
        face_a_id, face_b_id, similarity_score, created_at, factor_embedding, factor_geometry, factor_age,
        factor_symmetry, factor_skin_tone, factor_expression, weights
    )
    SELECT
        least(a, b), greatest(a, b), random(), now() - random() * interval '30 days',
        random(), random(), random(), random(), random(), random(), weights
    FROM (
        SELECT
            md5('face' || 1 + i % {faces})::uuid AS a,
            -- Another one for each round through the faces.
            md5('face' || 1 + (i + 1 + 7 * (i / {faces})) % {faces})::uuid AS b
        FROM generate_series(0, {matches} - 1) AS i
    ) AS pairs,
        (SELECT value AS weights FROM system_settings WHERE key = 'matching_weights') AS setting
    ON CONFLICT DO NOTHING;
    DELETE FROM match_counts;
    INSERT INTO match_counts (count) SELECT count(*) FROM matches;

    -- One has viewed what is newest, the others something.
    INSERT INTO reactions (user_profile_id, match_id, reaction_type)
    SELECT md5('profile1')::uuid, id, 'viewed'
    FROM (SELECT id FROM matches ORDER BY created_at DESC LIMIT 200) AS newest
    UNION ALL
    SELECT md5('profile' || 2 + (row_number() OVER ()) % ({profiles} - 1))::uuid, id, 'viewed'
    FROM (SELECT id FROM matches LIMIT {matches} / 5) AS part;

    INSERT INTO notifications (user_id, type, title, message, related_id, related_type, read_at, created_at)
    SELECT
        md5('profile' || 1 + i % {profiles})::uuid, 'mutual_match', 'It is mutual!', 'You are connected now.',
        gen_random_uuid(), 'match', CASE WHEN i % 3 > 0 THEN now() END, now() - random() * interval '30 days'
    FROM generate_series(1, {profiles} * 20) AS i;
"""


@dataclass(frozen=True, slots=True)
class ReadTimes:
    """Milliseconds of one answer, and answers a second over all connections."""

    p50: float
    p95: float
    per_second: float


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One read: its statements alone, the answer, and what that adds as a multiple of the statements."""

    read: str
    bare: ReadTimes
    api: ReadTimes
    added_p50: float
    added_p95: float


@dataclass(frozen=True, slots=True)
class Read:
    """A read of the API: its path, who asks, and all statements that its answer takes."""

    name: str
    path: str
    token: str | None
    statements: Callable[[Database], Awaitable[object]]


def main(  # noqa: PLR0917 - a command's options
    profiles: Annotated[int, typer.Option(min=10)] = 10_000,
    faces: Annotated[int, typer.Option(min=100)] = 50_000,
    matches: Annotated[int, typer.Option(min=100)] = 500_000,
    connections: Annotated[int, typer.Option(min=1, help="Connections that ask at once.")] = 16,
    seconds: Annotated[float, typer.Option(help="How long each is measured in a round.")] = 4.0,
    rounds: Annotated[int, typer.Option(min=1, help="Their median counts.")] = 3,
    stack: Annotated[
        bool, typer.Option("--stack", help="Measure the whole stack, through Ray Serve.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, ask, compare."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn:
        started = time.perf_counter()
        user_id = fill(dsn, profiles, faces, matches)
        console.print(f"filled in {time.perf_counter() - started:.0f} s")
        with (running_stack if stack else running_process)(dsn) as url:
            results = asyncio.run(
                measure(dsn, url, user_id, connections=connections, seconds=seconds, rounds=rounds)
            )

    table = Table(
        title=f"{profiles:,} profiles, {faces:,} faces, {matches:,} matches; {connections} connections; "
        f"{'Ray Serve' if stack else 'one process'}; milliseconds"
    )
    table.add_column("read")
    headings = ("query p50", "query p95", "answer p50", "answer p95", "added p50", "added p95", "answers/s")
    for heading in headings:
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            result.read,
            *(f"{value:.1f}" for times in (result.bare, result.api) for value in (times.p50, times.p95)),
            f"{result.added_p50:.2f} x",
            f"{result.added_p95:.2f} x",
            f"{result.api.per_second:.0f}",
        )
    console.print(table)
    if as_json:
        found = [asdict(result) for result in results]
        print(json.dumps({"benchmark": "reads", "stack": stack, "results": found}))


def fill(dsn: str, profiles: int, faces: int, matches: int) -> uuid.UUID:
    """Fill the database; returns the user who has viewed what is newest."""
    sizes = {"profiles": profiles, "faces": faces, "matches": matches}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in FILL.format(**sizes).split(";"):
            if statement.strip():
                connection.execute(statement.encode())
        connection.execute("VACUUM ANALYZE")
        row = connection.execute("SELECT md5('profile1')::uuid").fetchone()
        assert row is not None
        user_id: uuid.UUID = row[0]
        return user_id


def make_app() -> FastAPI:
    """The API without what plain reads do not need; what uvicorn serves."""
    settings = get_settings()

    async def open_services() -> Services:
        database = await Database.connect(
            settings.required_database_url.get_secret_value(), pool_size=settings.database_pool_size
        )
        db, storage = Repositories.of(database), open_storage(settings)
        none, scale = cast(Any, Unused()), SimilarityScale(0, "", None)
        return Services(
            settings=settings,
            model=ModelInfo("none", ""),
            scale=scale,
            faces=none,
            matcher=none,
            writer=none,
            database=database,
            db=db,
            search=CelebritySearch(database),
            storage=storage,
            tokens=TokenVerifier(settings),
            hub=Hub(settings, database, db, storage, scale),
            babies=none,
            face_uploads=none,
            ray_jobs=none,
        )

    return create_app(settings, open_services)


class Unused:
    """Stands where a part is not needed, and can be closed."""

    async def close(self) -> None:
        """Nothing to do."""


@contextmanager
def running_process(dsn: str, home: str | None = None) -> Iterator[str]:
    """The address of the API as one process. home: its folder; None: an empty one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "benchmarks.reads:make_app"]
    options = ["--port", str(port), "--log-level", "warning", "--no-access-log"]
    with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as empty:
        process = subprocess.Popen([*command, *options], env=environment(dsn, home or empty))
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            yield url
        finally:
            process.terminate()
            process.wait(30)


async def measure(
    dsn: str, url: str, user_id: uuid.UUID, *, connections: int, seconds: float, rounds: int
) -> list[ReadResult]:
    """All reads, statements and API in turns."""
    token = access_token(user_id, "person1@school.edu")
    reads = [
        Read("feed", "/api/matches/top", None, lambda database: feed(database, None)),
        Read("feed of a user", "/api/matches/top", token, lambda database: feed(database, user_id)),
        Read(
            "notifications",
            "/api/notifications",
            token,
            lambda database: notifications(database, user_id),
        ),
    ]
    database = await Database.connect(dsn, pool_size=connections)
    times: dict[tuple[str, str], list[ReadTimes]] = {}
    try:
        for number in range(rounds + 1):
            for read in reads:
                bare = await timed(connections, seconds, asked_of_database(database, read))
                api = await timed(connections, seconds, asked_of_api(url, read))
                if number:  # The first round warms up.
                    times.setdefault((read.name, "bare"), []).append(bare)
                    times.setdefault((read.name, "api"), []).append(api)
    finally:
        await database.close()
    return [
        compare(read.name, median(times[read.name, "bare"]), median(times[read.name, "api"]))
        for read in reads
    ]


SESSION = bytes(32)
"""Of nobody; the database looks it up all the same."""


async def feed(database: Database, user_id: uuid.UUID | None) -> None:
    """The statements of one page of the feed; for a user also that of who they are."""
    if user_id is not None:
        await Profiles(database).of_session(user_id, SESSION)
    await Matches(database).feed(viewer_id=user_id, new_only=False, limit=20)


async def notifications(database: Database, user_id: uuid.UUID) -> None:
    """The statements of one page of notifications: who the user is, and the page."""
    await Profiles(database).of_session(user_id, SESSION)
    await Notifications(database).page(user_id, unread_only=False, limit=50)


Ask = Callable[[], Awaitable[object]]


async def timed(connections: int, seconds: float, make: Callable[[], Awaitable[Ask]]) -> ReadTimes:
    """Ask over every connection as fast as it is answered."""
    milliseconds: list[float] = []
    asks = [await make() for _ in range(connections)]
    end = time.perf_counter() + seconds

    async def work(ask: Ask) -> None:
        now = time.perf_counter()
        while now < end:
            await ask()
            before, now = now, time.perf_counter()
            milliseconds.append((now - before) * 1000)

    await asyncio.gather(*(work(ask) for ask in asks))
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return ReadTimes(float(p50), float(p95), len(milliseconds) / seconds)


def asked_of_database(database: Database, read: Read) -> Callable[[], Awaitable[Ask]]:
    """Makes what runs the read's statements once."""

    async def make() -> Ask:
        return lambda: read.statements(database)

    return make


def asked_of_api(url: str, read: Read) -> Callable[[], Awaitable[Ask]]:
    """Makes a connection that asks once per call, by the least of HTTP, so that the client takes little."""
    target = urlsplit(url)
    lines = [f"GET {read.path} HTTP/1.1", f"Host: {target.netloc}", "Accept: */*"]
    if read.token is not None:
        lines.append(f"Authorization: Bearer {read.token}")
    request = "\r\n".join([*lines, "", ""]).encode()

    async def make() -> Ask:
        reader, writer = await asyncio.open_connection(target.hostname, target.port)

        async def ask() -> None:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if not head.startswith(b"http/1.1 200"):
                raise SystemExit(f"{read.path}: {head.decode()}")
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))

        return ask

    return make


def median(rounds: list[ReadTimes]) -> ReadTimes:
    """Of each number for itself."""
    columns = zip(*((times.p50, times.p95, times.per_second) for times in rounds), strict=True)
    return ReadTimes(*(statistics.median(column) for column in columns))


def compare(read: str, bare: ReadTimes, api: ReadTimes) -> ReadResult:
    """What the API adds as a multiple of the statements' time."""
    return ReadResult(read, bare, api, api.p50 / bare.p50 - 1, api.p95 / bare.p95 - 1)


if __name__ == "__main__":
    typer.run(main)
