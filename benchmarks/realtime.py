"""From commit to socket: how long a new match takes to every client that watches the live feed.

All sockets get every match, which is the dearest event there is. The time is taken from the commit, as the
database notes it, to the moment when a client holds the event; server and clients share the machine, so the
clients' own work is in it. Without --url the realtime routes run behind uvicorn in a separate process.

    python -m benchmarks.realtime
    python -m benchmarks.realtime --url http://127.0.0.1:8000 --dsn postgresql://…   # a running stack
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import numpy as np
import psutil
import psycopg
import typer
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.database import scratch_database
from db.pool import Database
from db.repositories import Repositories
from deployments.packs.calibration import SimilarityScale
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from serve_app.api.routes import realtime
from serve_app.realtime.hub import Hub

LIMIT_MS = 200.0
_START_SECONDS = 30.0
_OPEN_AT_ONCE = 50

ADD_FACES = """
    WITH people AS (
        INSERT INTO profiles (id, profile_type, name, school, gender)
        SELECT gen_random_uuid(), 'user', 'Person ' || n, 'mit', 'female' FROM generate_series(1, 2) AS n
        RETURNING id
    )
    INSERT INTO faces (profile_id, image_path)
    SELECT id, 'faces/' || id || '.jpg' FROM people
    RETURNING id
"""
ADD_MATCH = """
    INSERT INTO matches (face_a_id, face_b_id, similarity_score)
    VALUES (least(%(a)s::uuid, %(b)s::uuid), greatest(%(a)s::uuid, %(b)s::uuid), 0.75)
"""
REMOVE = "DELETE FROM profiles WHERE id IN (SELECT profile_id FROM faces WHERE id = ANY(%s))"


@dataclass(slots=True)
class DeliveryResult:
    """Milliseconds from commit to socket over all deliveries, and over each event's last delivery;
    cpu_us: microseconds of processor time that one delivery costs the server, None for one not started here.
    The clients take as much again, so on a busy machine this says more than the times."""

    sockets: int
    events: int
    delivered: int
    p50: float
    p95: float
    p99: float
    worst: float
    last_socket_p50: float
    cpu_us: float | None


def main(  # noqa: PLR0917 - the command's options
    sockets: Annotated[int, typer.Option(help="Clients of the live feed.")] = 500,
    events: Annotated[int, typer.Option(help="Matches that are committed, one at a time.")] = 50,
    pause: Annotated[float, typer.Option(help="Seconds between two matches.")] = 0.3,
    url: Annotated[str | None, typer.Option(help="Address of a running stack.")] = None,
    dsn: Annotated[str | None, typer.Option(help="Its database; rows of the benchmark are removed.")] = None,
    serve: Annotated[int | None, typer.Option(hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Open the sockets, commit matches, collect the times."""
    if serve is not None and dsn is not None:
        run_server(dsn, serve, sockets)
        return
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    if url is not None and dsn is not None:
        result = asyncio.run(measure(url, dsn, sockets, events, pause, None))
    else:
        with scratch_database() as own, own_server(own, sockets) as (address, process):
            result = asyncio.run(measure(address, own, sockets, events, pause, process))

    table = Table(title=f"{result.events} matches to {result.sockets} sockets; milliseconds from the commit")
    for heading in ("p50", "p95", "p99", "worst", "last socket, p50", "delivered", "CPU µs each"):
        table.add_column(heading, justify="right")
    table.add_row(
        *(f"{value:.0f}" for value in (result.p50, result.p95, result.p99, result.worst)),
        f"{result.last_socket_p50:.0f}",
        f"{result.delivered} of {result.sockets * result.events}",
        "" if result.cpu_us is None else f"{result.cpu_us:.0f}",
    )
    console.print(table)
    kept = result.p99 < LIMIT_MS and result.delivered == result.sockets * result.events
    console.print(f"99 of 100 within {LIMIT_MS:.0f} ms and none lost: {'yes' if kept else 'NO'}")
    if as_json:
        print(json.dumps({"benchmark": "realtime", "result": asdict(result), "kept": kept}))


async def measure(  # noqa: PLR0917 - the command's options
    url: str, dsn: str, sockets: int, events: int, pause: float, server: psutil.Process | None
) -> DeliveryResult:
    """Times of all deliveries."""
    address = url.replace("http", "ws", 1).rstrip("/") + "/api/realtime?channels=feed"
    times: list[list[float]] = [[] for _ in range(sockets)]
    async with AsyncExitStack() as stack:
        clients: list[ClientConnection] = []
        while len(clients) < sockets:
            count = min(_OPEN_AT_ONCE, sockets - len(clients))
            opened = await asyncio.gather(*(connect(address, compression=None) for _ in range(count)))
            for client in opened:
                stack.push_async_callback(client.close)
                await client.recv()
            clients += opened
        readers = [
            asyncio.create_task(read(client, mine, events))
            for client, mine in zip(clients, times, strict=True)
        ]
        before = cpu_seconds(server)
        await asyncio.to_thread(commit_matches, dsn, events, pause)
        _, late = await asyncio.wait(readers, timeout=10)
        cpu = cpu_seconds(server) - before
        for reader in late:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    flat = np.array([value for mine in times for value in mine])
    rounds = range(min(map(len, times)))
    last = float(np.median([max(mine[number] for mine in times) for number in rounds]))
    p50, p95, p99, worst = map(float, np.percentile(flat, [50, 95, 99, 100]))
    each = None if server is None else cpu / flat.size * 1e6
    return DeliveryResult(sockets, events, flat.size, p50, p95, p99, worst, last, each)


def cpu_seconds(process: psutil.Process | None) -> float:
    """Processor time that a process has used."""
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)


async def read(client: ClientConnection, times: list[float], events: int) -> None:
    """Add the milliseconds that each match took to this client."""
    while len(times) < events:
        text = await client.recv()
        now = time.time()
        event = json.loads(text)
        if event["type"] == "ping":
            await client.send('{"type":"pong"}')
        elif event["type"] == "matches":
            times.append((now - datetime.fromisoformat(event["created_at"]).timestamp()) * 1000)


def commit_matches(dsn: str, events: int, pause: float) -> None:
    """One match at a time between two new people, who are removed at the end."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        people = [connection.execute(ADD_FACES).fetchall() for _ in range(events)]
        try:
            for (first,), (second,) in people:
                time.sleep(pause)
                connection.execute(ADD_MATCH, {"a": first, "b": second})
            time.sleep(1)
        finally:
            connection.execute(REMOVE, [[face for pair in people for (face,) in pair]])


@contextmanager
def own_server(dsn: str, sockets: int) -> Iterator[tuple[str, psutil.Process]]:
    """The address of the realtime routes, and the process that serves them as long as the context lasts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.realtime", "--serve", str(port), "--dsn", dsn]
    process = subprocess.Popen([*command, "--sockets", str(sockets)])
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def run_server(dsn: str, port: int, sockets: int) -> None:
    """The realtime routes and nothing else: no models, no Ray."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(prefix="semblance-benchmark-") as home:
            settings = Settings(
                home=Path(home), database_url=SecretStr(dsn), realtime_max_sockets=sockets + 10
            )
            database = await Database.connect(dsn, pool_size=settings.database_pool_size)
            db, storage = Repositories.of(database), open_storage(settings)
            hub = Hub(settings, database, db, storage, SimilarityScale(0, "", None))
            app.state.services = SimpleNamespace(settings=settings, hub=hub)
            await hub.start()
            yield
            await hub.close()
            await database.close()

    app = FastAPI(lifespan=lifespan)
    app.include_router(realtime.router, prefix="/api")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
