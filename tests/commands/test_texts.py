"""`semblance texts`, which changes the model that people are found by, and `semblance jobs queues`."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from db.pool import Database
from deployments.text_queue import TextQueue
from deployments.texts.manifest import MINILM
from semblance.settings import Settings
from tests.support.commands import semblance
from tests.support.rows_texts import add_bio, switch_search_on

INDEXES = """
    SELECT count(*) FROM pg_indexes WHERE tablename = 'text_embeddings' AND indexdef LIKE '%USING hnsw%'
"""


@pytest.fixture
def other_pack(tmp_path: Path) -> Path:
    """The same encoder, and yet another pack."""
    folder = tmp_path / "pack"
    shutil.copytree(MINILM, folder)
    manifest = json.loads((MINILM / "manifest.json").read_text())
    licence = folder / "LICENSE"
    licence.write_text(licence.read_text() + "\n")
    manifest["sha256"]["LICENSE"] = hashlib.sha256(licence.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest | {"name": "other"}))
    return folder


@pytest.fixture
def environment(service_dsn: str, dsn: str, tmp_path: Path) -> dict[str, str]:
    return {
        "SEMBLANCE_HOME": str(tmp_path / "home"),
        "SEMBLANCE_DATABASE_URL": service_dsn,
        "SEMBLANCE_OWNER_DATABASE_URL": dsn,
        "COLUMNS": "200",
    }


async def test_a_model_is_changed_while_searches_go_on(
    database: Database, environment: dict[str, str], other_pack: Path
) -> None:
    refused = semblance("texts", "embed", environment=environment)
    assert (refused.returncode, "The searches by meaning are off" in refused.stderr) == (1, True)
    await switch_search_on(database)
    for bio in ("I dance.", "I sing."):
        await add_bio(database, bio)
    await TextQueue.open(database, Settings()).process()

    without_owner = {name: value for name, value in environment.items() if "OWNER" not in name}
    forbidden = semblance("texts", "embed", environment=without_owner)
    assert (forbidden.returncode, "Set SEMBLANCE_OWNER_DATABASE_URL" in forbidden.stderr) == (1, True)

    new = environment | {"SEMBLANCE_TEXT_PACK": str(other_pack)}
    early = semblance("texts", "retire", "--yes", environment=new)
    assert (early.returncode, "covers 0 of 2 texts" in early.stdout) == (1, True)
    assert "Embedded 2 texts by other." in semblance("texts", "embed", environment=new).stdout
    assert "Embedded 0 texts" in semblance("texts", "embed", environment=new).stdout
    listed = semblance("texts", "list", environment=new).stdout
    assert listed.count("2 of 2") == 2
    assert await database.fetchval(INDEXES) == 1
    assert listed.count("in the settings") == 1
    assert await database.fetchval("SELECT count(*) FROM text_embeddings") == 4

    # As that of another model that is given up.
    assert semblance("migrate", environment=environment).returncode == 0
    assert await database.fetchval(INDEXES) == 2
    assert "Removed 2 vectors." in semblance("texts", "retire", "--yes", environment=new).stdout
    assert await database.fetchval(INDEXES) == 1
    again = semblance("texts", "retire", "--yes", environment=new)
    assert (again.returncode, "no vectors of other models" in again.stdout) == (0, True)
    assert await database.fetchval("SELECT count(*) FROM text_embeddings") == 2
    records = await database.fetch(
        "SELECT action, after FROM audit_log WHERE actor LIKE 'command:%' AND action LIKE 'text%' ORDER BY at"
    )
    assert [(record["action"], record["after"]) for record in records] == [
        ("text_vectors.embed", {"texts": 2}),
        ("text_vectors.embed", {"texts": 0}),
        ("text_vectors.retire", {"removed": 2}),
    ]


async def test_a_database_is_migrated_where_the_pack_is_not(environment: dict[str, str]) -> None:
    migrated = semblance("migrate", environment=environment | {"SEMBLANCE_TEXT_PACK": "/nowhere"})
    assert migrated.returncode == 0, migrated.stderr
    assert "The vector index of texts was not made: " in migrated.stdout


async def test_both_queues_are_shown(database: Database, environment: dict[str, str]) -> None:
    await switch_search_on(database)
    await add_bio(database, "I dance.")
    await database.execute(
        "INSERT INTO inference_queue (kind, profile_id, status, error_message, completed_at)"
        " SELECT 'embed', id, 'failed', 'It was refused.', now() FROM profiles"
    )
    shown = semblance("jobs", "queues", environment=environment).stdout
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines()]
    rows = {cells[0]: cells for cells in lines if cells}
    assert rows["match jobs"][1:5] == ["0", "0", "0", "0"]
    assert rows["texts"][1:5] == ["1", "0", "0", "1"]
    assert "1 texts failed: It was refused." in shown
