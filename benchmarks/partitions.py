"""What partitions by month would give the tables that grow, on the one that is read most: notifications.

The table as it is and one that is partitioned by `created_at` hold the same rows of a year. The requests of
the application run on both in turns, by the same statements. Then a month is removed: from the one as the
application does, a thousand rows by a statement, from the other by dropping a partition.

    python -m benchmarks.partitions
    python -m benchmarks.partitions --rows 1000000 --json
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import uuid4

import numpy as np
import psycopg
import typer
from psycopg import sql
from rich.console import Console
from rich.table import Table

from benchmarks.database import scratch_database
from db.pool import Database
from db.queries import queries
from db.retention import AT_ONCE

MONTHS = 12

PLAIN, PARTITIONED = "notifications", "notifications_by_month"

FILL = """
    SET session_replication_role = replica;
    SET maintenance_work_mem = '1GB';
    CREATE TABLE {partitioned} (LIKE notifications INCLUDING DEFAULTS INCLUDING CONSTRAINTS)
        PARTITION BY RANGE (created_at);
    ALTER TABLE {partitioned} ADD PRIMARY KEY (id, created_at);
    INSERT INTO profiles (id, profile_type, name)
    SELECT md5('profile' || i)::uuid, 'user', 'Person ' || i FROM generate_series(1, {users}) AS i;
    INSERT INTO notifications (user_id, type, title, message, related_id, related_type, read_at, created_at)
    SELECT
        md5('profile' || 1 + i % {users})::uuid, 'mutual_match', 'It is mutual!', 'You are connected now.',
        gen_random_uuid(), 'match', CASE WHEN i % 10 > 0 THEN now() END,
        now() - interval '30 days' * {months} * i / {rows}
    FROM generate_series(1, {rows}) AS i
"""


@dataclass(frozen=True, slots=True)
class PartitionCost:
    """Of one request, in milliseconds; or of removing a month: its time, and the write-ahead log in bytes."""

    what: str
    plain: float
    partitioned: float
    unit: str = "ms"


def main(
    rows: Annotated[int, typer.Option(min=10_000)] = 5_000_000,
    requests: Annotated[int, typer.Option(min=20, help="How often each is run.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object.")] = False,
) -> None:
    """Fill, ask, remove."""
    console = Console(stderr=as_json)
    console.print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.2f} at start")
    with scratch_database() as dsn:
        fill(dsn, rows)
        costs = asyncio.run(measure(dsn, max(10, rows // 50), requests))
        costs += remove(dsn)
    table = Table(title=f"{rows:,} notifications of {MONTHS} months, {rows // MONTHS:,} of them removed")
    for heading in ("what", "as it is", "partitioned", "ratio"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for cost in costs:
        ratio = f"{cost.partitioned / cost.plain:.2f} x"
        table.add_row(
            cost.what, f"{cost.plain:.2f} {cost.unit}", f"{cost.partitioned:.2f} {cost.unit}", ratio
        )
    console.print(table)
    if as_json:
        print(
            json.dumps({"benchmark": "partitions", "rows": rows, "costs": [asdict(cost) for cost in costs]})
        )


def fill(dsn: str, rows: int) -> None:
    """Both tables with the same rows, each with the indexes of the one."""
    sizes = {"rows": rows, "users": max(10, rows // 50), "months": MONTHS, "partitioned": PARTITIONED}
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in FILL.format(**sizes).split(";"):
            connection.execute(statement.encode())
        now = datetime.now(UTC)
        edges = [now - timedelta(days=30) * (MONTHS - month) for month in range(MONTHS)]
        for number, (start, end) in enumerate(zip([None, *edges[1:]], [*edges[1:], None], strict=True)):
            limits = [f"'{edge.isoformat()}'" if edge else other
                      for edge, other in ((start, "MINVALUE"), (end, "MAXVALUE"))]  # fmt: skip
            connection.execute(
                f"CREATE TABLE {PARTITIONED}_{number} PARTITION OF {PARTITIONED}"
                f" FOR VALUES FROM ({limits[0]}) TO ({limits[1]})".encode()
            )
        connection.execute(
            sql.SQL("INSERT INTO {} SELECT * FROM notifications").format(sql.Identifier(PARTITIONED))
        )
        for (definition,) in connection.execute(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = 'notifications'::regclass AND NOT indisunique"
        ).fetchall():
            copy = definition.replace("INDEX ", "INDEX m_").replace(
                "ON public.notifications ", f"ON {PARTITIONED} "
            )
            connection.execute(copy.encode())
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


async def measure(dsn: str, users: int, count: int) -> list[PartitionCost]:
    """The median of each request on both tables, in turns; the first half only warms up."""
    database = await Database.connect(dsn, pool_size=1)
    try:
        await database.execute("SET session_replication_role = replica")
        random = np.random.default_rng(1)
        some = [f"profile{number}" for number in random.integers(1, users, count)]
        user_ids = [await database.fetchval("SELECT md5($1)::uuid", name) for name in some]
        mine = "SELECT id FROM notifications WHERE user_id = $1 ORDER BY created_at DESC OFFSET 20 LIMIT 1"
        ids = [await database.fetchval(mine, user) for user in user_ids]
        return [
            await _compare(
                database,
                "a page of a user's",
                queries["list_notifications"],
                [(user, False, None, None, 50, 0) for user in user_ids],
            ),
            await _compare(
                database,
                "one marked as read, by its id",
                queries["read_notification"],
                list(zip(ids, user_ids, strict=True)),
            ),
            await _compare(
                database,
                "one stored",
                "INSERT INTO notifications (id, user_id, type, title) VALUES ($1, $2, 'mutual_match', 'x')",
                [(uuid4(), user) for user in user_ids],
            ),
            await _compare(
                database,
                "all of a user's cleared",
                queries["clear_notifications"],
                [(user,) for user in dict.fromkeys(user_ids)],
            ),
        ]
    finally:
        await database.close()


async def _compare(
    database: Database, what: str, query: str, arguments: list[tuple[object, ...]]
) -> PartitionCost:
    times: dict[str, list[float]] = {PLAIN: [], PARTITIONED: []}
    for each in arguments:
        for table, taken in times.items():
            started = time.perf_counter()
            await database.execute(query.replace(PLAIN, table), *each)
            taken.append((time.perf_counter() - started) * 1000)
    plain, partitioned = (float(np.median(taken[len(taken) // 2 :])) for taken in times.values())
    return PartitionCost(what, plain, partitioned)


def remove(dsn: str) -> list[PartitionCost]:
    """The oldest month, with the vacuum that follows."""
    day = timedelta(days=30 * (MONTHS - 1))
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        cursor = psycopg.RawCursor(connection)

        def in_steps() -> None:
            removed = [(AT_ONCE,)]
            while removed != [(0,)]:
                removed = cursor.execute(queries["prune_notifications"].encode(), [day, AT_ONCE]).fetchall()
            connection.execute("VACUUM notifications")

        def at_once() -> None:
            connection.execute(f"DROP TABLE {PARTITIONED}_0".encode())

        seconds, logged = [], []
        for way in (in_steps, at_once):
            before = _written(connection)
            started = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - started)
            logged.append((_written(connection) - before) / 2**20)
    return [
        PartitionCost("a month removed", seconds[0], seconds[1], "s"),
        PartitionCost("its write-ahead log", logged[0], logged[1], "MiB"),
    ]


def _written(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    row = connection.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::float8").fetchone()
    assert row is not None
    return float(str(row[0]))


if __name__ == "__main__":
    typer.run(main)
