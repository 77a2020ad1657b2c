"""What the queue of texts costs: jobs a second beside the same provider called bare, and the time to
enqueue a message beside a bare INSERT.

The provider is a server in this process that speaks OpenAI's protocol and takes a while for each text, as a
model does. Bare means as many calls at once as a worker makes, with the same client, and nothing around
them.

    python -m benchmarks.text_queue
    python -m benchmarks.text_queue --jobs 2000 --seconds 0.2 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated
from uuid import UUID

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from db.inference_jobs import Budget, InferenceJobs, NewText
from db.pool import Database
from db.text_subjects import TextSubject
from deployments.writing.openai import OpenAIClient, OpenAIWriter
from deployments.writing.opening import open_writer
from deployments.writing.worker import TOGETHER, TextWorker
from semblance.settings import Settings

LEAST_SHARE = 0.8
_ASKED = 500
_BUDGET = Budget(10**9, 1)
_SUBJECT = TextSubject("reply", "Hi!", "Ada", "Bob", "mit", 87, ["the age"], [], 0)

ADD_PAIR = """
    WITH people AS (
        INSERT INTO profiles (id, profile_type, name, text_generation)
        SELECT gen_random_uuid(), 'user', name, true FROM unnest(ARRAY['Ada', 'Bob']) AS name
        RETURNING id, name
    ),
    face AS (
        INSERT INTO faces (profile_id, image_path) SELECT id, 'faces/' || id FROM people RETURNING id,
        profile_id
    ),
    pair AS (
        INSERT INTO matches (face_a_id, face_b_id, similarity_score)
        SELECT min(id::text)::uuid, max(id::text)::uuid, .9 FROM face
        RETURNING id
    ),
    chat AS (
        INSERT INTO mutual_connections (profile_a_id, profile_b_id, match_id)
        SELECT ada.id, bob.id, pair.id
        FROM people AS ada, people AS bob, pair
        WHERE ada.name = 'Ada' AND bob.name = 'Bob'
        RETURNING id, profile_a_id, profile_b_id
    )
    SELECT id, profile_a_id, profile_b_id FROM chat
"""
INSERT = "INSERT INTO messages (connection_id, sender_id, content) VALUES ($1, $2, 'Hello?')"


@dataclass(frozen=True, slots=True)
class QueueResult:
    """provider_s: how long the provider took for a text. insert: of a bare INSERT of the message. bare: texts
    without a queue."""

    jobs: int
    provider_s: float
    enqueue_p50_ms: float
    insert_p50_ms: float
    enqueue_p95_ms: float
    insert_p95_ms: float
    texts_per_s: float
    bare_per_s: float

    @property
    def share(self) -> float:
        """Of the bare provider's texts."""
        return self.texts_per_s / self.bare_per_s


def main(
    jobs: Annotated[int, typer.Option(help="Texts to write.")] = 1000,
    seconds: Annotated[float, typer.Option(help="How long the provider takes for one.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Print both comparisons; end with 1 if the queue is slower than it may be."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn:
        found = asyncio.run(_measure(dsn, jobs, seconds))
    table = Table("", "queue", "bare")
    enqueue = (
        ("p50", found.enqueue_p50_ms, found.insert_p50_ms),
        ("p95", found.enqueue_p95_ms, found.insert_p95_ms),
    )
    for name, ours, bare in enqueue:
        table.add_row(f"enqueue {name}, ms", f"{ours:.1f}", f"{bare:.1f}")
    table.add_row("texts a second", f"{found.texts_per_s:.1f}", f"{found.bare_per_s:.1f}")
    table.add_row("share", f"{found.share:.2f}", f"at least {LEAST_SHARE}")
    console.print(table)
    if as_json:
        ratios = {"queue/bare": found.share, "enqueue/insert p95": found.enqueue_p95_ms / found.insert_p95_ms}
        print(json.dumps({"benchmark": "text_queue", "results": [asdict(found)], "ratios": ratios}))
    raise typer.Exit(found.share < LEAST_SHARE)


async def _measure(dsn: str, jobs: int, seconds: float) -> QueueResult:
    server = await asyncio.start_server(lambda r, w: _answer(r, w, seconds), "127.0.0.1", 0)
    settings = Settings(text_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", text_model="m")
    database = await Database.connect(dsn)
    await database.execute("UPDATE system_settings SET value = 'true' WHERE key = 'text_generation'")
    chat = await database.fetchrow(ADD_PAIR)
    assert chat is not None
    enqueue = InferenceJobs(database)
    new = NewText(chat["id"], chat["profile_a_id"], "Hello?", "New message", "Hello?")
    queued = await _timed(_ASKED, lambda: enqueue.send(new, _BUDGET))
    inserted = await _timed(_ASKED, lambda: database.execute(INSERT, chat["id"], chat["profile_a_id"]))
    await _more(database, chat["id"], chat["profile_a_id"], chat["profile_b_id"], jobs - _ASKED)
    worker = TextWorker(database, *open_writer(settings), settings)
    count = int(await database.fetchval("SELECT count(*) FROM inference_queue"))
    started = time.monotonic()
    outcomes = await worker.process()
    rate = count / (time.monotonic() - started)
    assert {outcome.status for outcome in outcomes} == {"completed"}
    await worker.release()
    bare = await _bare(settings, count)
    await database.close()
    server.close()
    p50, p95 = ([float(np.percentile(times, q)) for times in (queued, inserted)] for q in (50, 95))
    return QueueResult(count, seconds, p50[0], p50[1], p95[0], p95[1], rate, bare)


async def _more(database: Database, chat: UUID, sender: UUID, reader: UUID, count: int) -> None:
    await database.execute(
        """
        WITH said AS (
            INSERT INTO messages (connection_id, sender_id, content)
            SELECT $1, $2, 'Hello?' FROM generate_series(1, $4)
            RETURNING id
        )
        INSERT INTO inference_queue (kind, profile_id, message_id, recipient_id)
        SELECT 'reply', $2, id, $3 FROM said
        """,
        chat,
        sender,
        reader,
        max(count, 0),
    )


async def _timed(count: int, call: Callable[[], Awaitable[object]]) -> list[float]:
    """Milliseconds of each call."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        times.append(1000 * (time.perf_counter() - started))
    return times


async def _bare(settings: Settings, count: int) -> float:
    """Texts a second without a queue."""
    writer = OpenAIWriter(OpenAIClient(settings), "m")
    left = iter(range(count))

    async def ignore(_: str) -> None:
        """Nobody watches."""

    async def work() -> None:
        for _ in left:
            await writer.write(_SUBJECT, ignore)

    started = time.monotonic()
    await asyncio.gather(*(work() for _ in range(TOGETHER)))
    rate = count / (time.monotonic() - started)
    await writer.close()
    return rate


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """A chat completion in five pieces."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].partition("\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        for word in ("Hello ", "Ada, ", "what ", "a ", "likeness!"):
            await asyncio.sleep(seconds / 5)
            piece = {"choices": [{"delta": {"content": word}, "finish_reason": None}]}
            writer.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
            await writer.drain()
        end = {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 90}}
        writer.write(b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    typer.run(main)
