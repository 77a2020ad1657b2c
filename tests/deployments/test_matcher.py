"""The match worker in a Serve replica."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from db.pool import Database
from deployments.matcher import Matcher
from deployments.scaling import WAITING_JOBS
from deployments.writer import Writer
from semblance.errors import DatabaseError, NotReadyError
from semblance.settings import Settings
from tests.support.rows_matching import add_person
from tests.support.waiting import MATCHED, PATIENCE_S, wait_until

UNUSED = SimpleNamespace(options=lambda **_: None)
"""A handle that nothing is asked by."""


async def test_a_replica_works_from_its_start_until_serve_ends_it(
    database: Database, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(dsn))
    monkeypatch.setattr("deployments.matcher.get_settings", lambda: settings)
    handle: Any = UNUSED
    matcher = Matcher(handle, handle, handle)
    with pytest.raises(NotReadyError):
        await matcher.check()
    assert await matcher.record_autoscaling_stats() == {}
    await add_person(database)
    await wait_until(database, MATCHED)
    assert await matcher.check() == "ok"
    assert await matcher.process(10) == []
    await matcher.check_health()
    # Not due for an hour, so that it is still there when it is counted.
    await database.execute(
        "UPDATE match_jobs SET status = 'pending', run_after = now() + interval '1 hour', completed_at = NULL"
    )
    assert await matcher.record_autoscaling_stats() == {WAITING_JOBS: 1}
    ending = matcher.__del__()
    assert ending is not None
    await ending
    with pytest.raises(NotReadyError):
        await matcher.process(10)
    assert matcher.__del__() is None


async def test_a_replica_without_its_database_is_unhealthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(f"postgresql://x@/x?host={tmp_path}"))
    monkeypatch.setattr("deployments.matcher.get_settings", lambda: settings)
    handle: Any = UNUSED
    matcher = Matcher(handle, handle, handle)
    await asyncio.wait([matcher._task], timeout=PATIENCE_S)
    with pytest.raises(DatabaseError):
        await matcher.check_health()


@pytest.mark.parametrize("deployment", [Matcher, Writer])
def test_a_replica_that_cannot_be_constructed_leaves_nothing_to_end(
    deployment: type[Matcher | Writer],
) -> None:
    """Python and Serve call `__del__` then, too, and what it raises hides why the replica did not start."""
    assert deployment.__new__(deployment).__del__() is None
