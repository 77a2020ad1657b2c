"""`semblance worker --once` leaves nothing undone."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from db.pool import Database
from matching.worker import TOGETHER
from ops.commands.matches.worker import _run
from semblance.settings import Settings
from tests.support.rows_matching import add_person


async def test_operators_are_told_of_the_last_jobs_too(
    database: Database, service_dsn: str, tmp_path: Path
) -> None:
    """They are told at most once a second, and the command may end before the next time."""
    for _ in range(TOGETHER + 1):
        await add_person(database)
    settings = Settings(home=tmp_path, database_url=SecretStr(service_dsn))
    outcomes = await _run(settings, service_dsn, once=True)
    assert [outcome.status for outcome in outcomes] == ["completed"] * (TOGETHER + 1)
    told = "SELECT count(*) FROM events WHERE type = 'admin' AND payload ->> 'kind' = 'jobs'"
    # Of the first of them at once, and of the others when the worker ended.
    assert await database.fetchval(told) == 2
