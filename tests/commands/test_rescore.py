"""`semblance rescore` as an operator runs it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

from db.pool import Database
from matching.rescore import BATCH
from matching.scoring import score
from tests.support.commands import semblance
from tests.support.rows_scored import (
    EXACT,
    OTHER_EXACT,
    add_faces,
    add_matches,
    add_old,
    add_stars,
    coarse,
    scores,
    set_rules,
    tables,
)
from tests.support.waiting import PATIENCE_S

SEMBLANCE = Path(sys.executable).with_name("semblance")


@pytest.fixture
def environment(tmp_path: Path, service_dsn: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SEMBLANCE_")}
    return kept | {
        "SEMBLANCE_HOME": str(tmp_path / "home"),
        "SEMBLANCE_DATABASE_URL": service_dsn,
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }


def _run(environment: dict[str, str], *arguments: str) -> str:
    done = semblance("rescore", *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _begin(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [SEMBLANCE, "rescore"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _row(output: str, begin: str) -> list[str]:
    """The numbers in a row of the table."""
    [cells] = [line.split("│") for line in output.splitlines() if line.startswith(f"│ {begin}")]
    return [cell.strip() for cell in cells[2:4]]


async def _fill(database: Database) -> None:
    """More matches than a batch, all above the threshold, and rules that have changed since."""
    faces, stars = await add_faces(database, 80), await add_stars(database, 30)
    for table, pairs in (
        ("matches", list(combinations(faces, 2))),
        ("celebrity_matches", list(product(faces, stars))),
    ):
        assert len(pairs) > BATCH
        await add_matches(database, pairs, coarse(len(pairs), seed=len(table)), EXACT, table=table)
    await add_old(database, "celebrity_matches", [(faces[0], star) for star in await add_stars(database, 1)])
    await set_rules(database, OTHER_EXACT, 0.5)


async def test_help_says_what_it_does(environment: dict[str, str]) -> None:
    said = _run(environment, "--help")
    for word in ("--dry-run", "batch.rematch", "preview", "interrupted", "Examples"):
        assert word in said


async def test_a_killed_run_can_be_started_again(database: Database, environment: dict[str, str]) -> None:
    await _fill(database)
    untouched = await tables(database)
    plan = _run(environment, "--dry-run")
    assert await tables(database) == untouched
    started = "SELECT count(*) FROM audit_log WHERE action = 'rescoring.start' AND actor LIKE 'command:%'"
    assert await database.fetchval(started) == 0
    expected = []
    for row in await scores(database):
        factors = row[3:9]
        if factors[0] is not None:
            found = float(score(np.array(factors), OTHER_EXACT))
            if found >= 0.5:
                expected.append((*row[:2], found, *factors, OTHER_EXACT.as_dict()))
        else:
            expected.append(row)

    # It reaches a locked row and is killed there.
    async with database.transaction() as connection:
        await connection.execute(
            "SELECT FROM matches ORDER BY face_a_id DESC, face_b_id DESC LIMIT 1 FOR UPDATE"
        )
        process = _begin(environment)
        try:
            while await _due(database) > 1:
                assert process.poll() is None
                await asyncio.sleep(0.05)
        finally:
            process.kill()
            process.communicate()
    assert await scores(database) != expected

    done = _run(environment)
    assert await scores(database) == expected
    assert await database.fetchval(started) == 2
    for output in (plan, done):
        assert _row(output, "looked at")[1] == "2,401"
        assert _row(output, "without factors") == ["0", "1"]
        assert "python -m batch.rematch" in output
    # No match with a celebrity had been written.
    below = "below the threshold, "
    assert _row(plan, below + "to be removed")[1] == _row(done, below + "removed")[1]
    assert _row(plan, "to be rescored")[1] == _row(done, "rescored")[1]


async def test_rules_that_change_during_the_run_are_reported(
    database: Database, environment: dict[str, str]
) -> None:
    faces = await add_faces(database, 3)
    pairs = [(faces[0], faces[1]), (faces[0], faces[2])]
    await add_matches(database, pairs, np.full((2, 6), 0.75), EXACT)
    await set_rules(database, OTHER_EXACT, 0.5)
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM matches ORDER BY id LIMIT 1 FOR UPDATE")
        process = _begin(environment)
        # It has started, and waits for this row.
        while await _due(database) > 1:
            assert process.poll() is None
            await asyncio.sleep(0.05)
        await set_rules(database, OTHER_EXACT, 0.6)
    _, said = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "Run the command again" in said
    assert await _due(database) == 0


async def _due(database: Database) -> int:
    """Pairs that still have the old weights."""
    return int(await database.fetchval("SELECT count(*) FROM matches WHERE weights = $1", EXACT.as_dict()))
