"""Upgrades beside a running service: migrations that give way, and versions that share a database."""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from db.migrate import MIGRATIONS, Migration, downgrade, upgrade
from db.pool import Database
from ops.backup.database import snapshot
from tests.support.api import Api
from tests.support.commands import semblance
from tests.support.rows_scored import add_faces
from tests.support.waiting import PATIENCE_S

SHARED = "0028"
"""From the revision after this one on, the version before runs on the schema of the version after."""

BREAKS = re.compile(
    r"\bDROP\s+(TABLE|COLUMN|FUNCTION|VIEW|TYPE)\b|\bRENAME\s+(TO|COLUMN)\b|\bSET\s+NOT\s+NULL\b"
    r"|\bALTER\s+COLUMN\s+\w+\s+TYPE\b|\bADD\s+COLUMN\s+\w+\s+[^,;]*\bNOT\s+NULL(?![^,;]*\b(DEFAULT|GENERATED)\b)",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    ("statement", "breaks"),
    [
        ("ALTER TABLE a DROP COLUMN b", True),
        ("ALTER TABLE a RENAME TO b", True),
        ("ALTER TABLE a ALTER COLUMN b TYPE text", True),
        ("ALTER TABLE a ADD COLUMN b text NOT NULL", True),
        ("ALTER TABLE a ADD COLUMN b text NOT NULL DEFAULT ''", False),
        ("ALTER TABLE a ADD COLUMN b text, ADD CONSTRAINT c CHECK (b <> '')", False),
        ("CREATE TABLE a (b text NOT NULL)", False),
    ],
)
def test_what_breaks_the_version_before_is_recognised(statement: str, breaks: bool) -> None:
    assert bool(BREAKS.search(statement)) is breaks


@pytest.mark.parametrize(
    "migration", [each for each in MIGRATIONS if each.revision > SHARED], ids=lambda each: each.revision
)
def test_a_migration_leaves_the_version_before_running(migration: Migration) -> None:
    """Replicas of both versions run during a rolling upgrade. What the version before uses goes a version
    later, in a migration that says so: `-- contract: unused since 0.3`."""
    text = migration.up.read_text(encoding="utf-8")
    code = re.sub(r"--.*", "", text)
    assert "-- contract: unused since" in text or not BREAKS.search(code), BREAKS.search(code)


@contextmanager
def held(dsn: str, table: str, seconds: float) -> Iterator[None]:
    """A transaction that has read the table stays open for some time."""
    reading = threading.Event()

    def read() -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute(f"SELECT count(*) FROM {table}".encode())
            reading.set()
            threading.Event().wait(seconds)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(PATIENCE_S)
    yield
    thread.join()


async def test_requests_are_answered_while_a_migration_waits(api: Api, tmp_path: Path) -> None:
    """A change of a table needs a lock that waits for a long transaction, and everybody else would wait
    behind it."""
    ada = await api.member("Ada")
    added = tmp_path / "9999_more.up.sql"
    added.write_text("ALTER TABLE profiles ADD COLUMN more text; ALTER TABLE faces ADD COLUMN more text;")
    migrations = (*MIGRATIONS, Migration("9999", added, added))
    statuses: Counter[int] = Counter()
    ended = asyncio.Event()

    async def ask() -> None:
        while not ended.is_set():
            for method, path, body in (
                ("GET", "/api/auth/me", None),
                ("PATCH", "/api/auth/me", {"name": "Ada"}),
                ("GET", "/api/matches/top", None),
                ("GET", "/api/faces", None),
            ):
                answer = await api.client.request(method, path, json=body, headers=ada.headers)
                statuses[answer.status_code] += 1

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    with held(api.dsn, "profiles", 2.5):
        await asyncio.to_thread(upgrade, api.dsn, migrations=migrations)
    ended.set()
    await asyncio.gather(*asking)
    assert set(statuses) == {200}
    assert await api.owner.fetchval("SELECT count(more) FROM faces") == 0


async def test_one_revision_back_keeps_every_row(dsn: str) -> None:
    database = await Database.connect(dsn, pool_size=1)
    await add_faces(database, 5)
    await database.close()
    before = _counts(dsn)
    await asyncio.to_thread(downgrade, dsn, MIGRATIONS[-2].revision)
    older = _counts(dsn)
    assert older.items() <= before.items()
    await asyncio.to_thread(upgrade, dsn)
    assert _counts(dsn) == before


def _counts(dsn: str) -> dict[str, int]:
    """Rows of each table. A migration may bring a setting, of which an event tells; the audit log has
    both."""
    with snapshot(dsn) as found:
        names = [table.name for table in found.tables()]
    names = [name for name in names if name not in {"audit_log", "events", "system_settings"}]
    with psycopg.connect(dsn) as connection:
        return {name: _count(connection, name) for name in names}


def _count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_the_command_goes_back_only_if_it_may(dsn: str, tmp_path: Path) -> None:
    environment = {"SEMBLANCE_HOME": str(tmp_path), "SEMBLANCE_DATABASE_URL": dsn, "COLUMNS": "200"}
    target = MIGRATIONS[-2].revision
    asked = semblance("migrate", "--to", target, environment=environment)
    assert asked.returncode == 1
    assert "Nothing was changed" in asked.stdout
    done = semblance("migrate", "--to", target, "--yes", environment=environment)
    assert f"at revision {target}" in done.stdout
    ahead = semblance("migrate", "--to", "9999", "--yes", environment=environment)
    assert "there is no way back to 9999" in ahead.stderr
    again = semblance("migrate", environment=environment)
    assert f"at revision {MIGRATIONS[-1].revision}" in again.stdout
