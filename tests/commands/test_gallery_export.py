"""A gallery that was exported and is ingested again has the same rows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr

from batch.ingest.known import KnownHashes
from batch.ingest.sources import Item, list_source
from batch.ingest.worker import IngestRules, IngestWorker
from db.celebrities import Celebrities
from db.pool import Database
from ops.commands.gallery.export import export_gallery
from semblance.errors import ConfigurationError
from semblance.settings import Settings
from semblance.storage.pictures import full_key
from tests.support.photos import BIDEN, couple

MANIFEST = f"""image,name,bio,category,gender,person,accept
{BIDEN},Joe Biden,President,politicians,male,,
couple.jpg,Joe,,,,joe,largest
"""


@pytest.fixture
def settings(tmp_path: Path, service_dsn: str) -> Settings:
    return Settings(home=tmp_path / "home", database_url=SecretStr(service_dsn))


async def ingest(worker: IngestWorker, source: Path, database: Database) -> list[str]:
    """The outcomes of a folder or manifest."""
    items = [(index, entry) for index, entry in enumerate(list_source(str(source)).entries)]
    results = worker.process(
        [(index, entry) for index, entry in items if isinstance(entry, Item)], KnownHashes([])
    )
    await Celebrities(database).copy_in([result.row for result in results if result.row is not None])
    return [result.outcome for result in results]


async def rows(database: Database) -> list[dict[str, Any]]:
    found = await database.fetch(
        "SELECT id, person_id, name, bio, category, gender, image_path, image_hash "
        "FROM celebrities ORDER BY id"
    )
    return [dict(row) for row in found]


async def test_an_export_ingests_again_to_the_same_rows(
    tmp_path: Path, settings: Settings, database: Database
) -> None:
    (tmp_path / "couple.jpg").write_bytes(couple())
    (tmp_path / "people.csv").write_text(MANIFEST)
    worker = IngestWorker(settings, IngestRules(min_quality=0.6, largest=False, dry_run=False))
    assert await ingest(worker, tmp_path / "people.csv", database) == ["ingested", "ingested"]
    before = await rows(database)
    assert before[0]["image_path"].endswith(full_key(""))

    folder = tmp_path / "export"
    await asyncio.to_thread(export_gallery, settings, folder)
    with pytest.raises(ConfigurationError, match="is not empty"):
        export_gallery(settings, folder)

    await database.execute("DELETE FROM celebrities")
    await database.execute("DELETE FROM people")
    assert await ingest(worker, folder, database) == ["ingested", "ingested"]
    assert await rows(database) == before
    assert {row["name"]: row["person_id"] for row in before}["Joe"] != UUID(int=0)
