"""Sources as found in practice: the report names what was not accepted, and nothing stalls."""

from __future__ import annotations

import io
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import psycopg
import pytest
from rich.console import Console

from batch.ingest.job import IngestOptions, ingest
from batch.ingest.worker import IngestRules
from ops.commands.photos import ASTRONAUT, package_photo
from semblance.settings import Settings

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_address")]

RULES = IngestRules(min_quality=0.0, largest=True, dry_run=False)


def portrait() -> bytes:
    """A photo of one person from a package."""
    return package_photo(*ASTRONAUT).read_bytes()


@pytest.fixture
def settings(tmp_path: Path, dsn: str) -> Settings:
    return Settings.model_validate({"home": tmp_path / "home", "database_url": dsn})


async def run(source: Path, settings: Settings, **options: Any) -> tuple[list[dict[str, Any]], str]:
    """The lines of an ingestion's report, and what it printed."""
    output = io.StringIO()
    console = Console(file=output, width=200)
    summary = await ingest(IngestOptions(str(source), RULES, actors=1, **options), settings, console)
    console.print(summary.table())
    return [json.loads(line) for line in summary.report.read_text().splitlines()], output.getvalue()


async def test_a_folder_from_a_nas(tmp_path: Path, settings: Settings, dsn: str) -> None:
    source = tmp_path / "photos"
    (source / "a" / "@eaDir" / "x.png").mkdir(parents=True)
    (source / "a" / unicodedata.normalize("NFD", "Zoë.png")).write_bytes(portrait())
    (source / "a" / "._Zoë.png").write_bytes(b"x")
    os.mkfifo(source / "a" / "pipe.jpg")
    entry = {"filename": "Zoë.png", "category": "a", "name": "Full Name", "gender": "female"}
    (source / "metadata.json").write_text(json.dumps({"celebrities": [entry]}))

    report, printed = await run(source, settings, exclude=["*.txt"])
    assert {line["input"]: line["outcome"] for line in report} == {
        "a/Zoë.png": "ingested",
        "a/pipe.jpg": "unreadable",
    }
    assert "excluded" in printed
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT name, gender::text, category FROM celebrities").fetchall()
    assert rows == [("Full Name", "female", "a")]


async def test_a_spreadsheet_with_bad_rows(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "photo.png").write_bytes(portrait())
    source = tmp_path / "people.csv"
    rows = ["Photo; Full Name; Shoe Size", "photo.png; Ada; 38", "http://[bad/x.jpg; B;", "gone.png; C;"]
    rows.append("http://127.0.0.1:9/x.png; D;")
    source.write_text("\n".join(rows))

    report, printed = await run(source, settings)
    assert [(line["row"], line["outcome"]) for line in report] == [
        (2, "ingested"),
        (3, "invalid_metadata"),
        (4, "missing"),
        (5, "unreadable"),
    ]
    assert report[0]["name"] == "Ada"
    assert "not on the public internet" in report[3]["reason"]
    assert "'Shoe Size'" in printed
