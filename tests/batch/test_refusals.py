"""What cannot work is refused at once, with the fix and an exit status."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from rich.console import Console

from batch.ingest.job import IngestOptions, ingest
from batch.ingest.worker import IngestRules
from batch.report import JobReport
from db.celebrities import Celebrities, CelebrityRow
from db.pool import Database
from deployments.packs.registry import load_pack
from semblance.errors import ConfigurationError, DatabaseError, PackMismatchError, SourceError, StorageError
from semblance.settings import Settings
from tests.support.photos import BIDEN

OPTIONS = IngestOptions(str(BIDEN.parent), IngestRules(min_quality=0.6, largest=False, dry_run=False))


async def run(settings: Settings, **changes: object) -> None:
    await ingest(replace(OPTIONS, **changes), settings, Console(file=io.StringIO()))  # type: ignore[arg-type]


@pytest.fixture
def settings(tmp_path: Path, dsn: str) -> Settings:
    return Settings.model_validate({"home": tmp_path, "database_url": dsn})


def stranger() -> CelebrityRow:
    """A celebrity embedded by another pack."""
    embedding = np.zeros(512, np.float32)
    embedding[0] = 1
    return CelebrityRow(
        id=uuid4(),
        name="Stranger",
        bio=None,
        category=None,
        gender=None,
        seen_gender=None,
        image_path="celebrities/00/00.jpg",
        image_hash="0" * 32,
        embedding=embedding,
        pack_digest="f" * 64,
        age=30,
        quality_score=1.0,
        blur_score=1.0,
        illumination_score=1.0,
        symmetry_score=1.0,
        landmarks_68=[[0.0, 0.0]] * 68,
        pose={"yaw": 0.0, "pitch": 0.0, "roll": 0.0},
        geometry_ratios={},
        skin_tone_lab=[65.0, 10.0, 20.0],
        expression="neutral",
        expression_confidence=1.0,
        emotion_scores={"neutral": 1.0},
        analyzed_at=datetime.now(UTC),
    )


async def test_a_gallery_of_another_pack_is_refused(settings: Settings, database: Database) -> None:
    await Celebrities(database).copy_in([stranger()])
    with pytest.raises(PackMismatchError, match="SEMBLANCE_PACK"):
        await run(settings)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_address")
async def test_a_picture_embedded_by_another_pack_is_refused(settings: Settings, database: Database) -> None:
    picture = (BIDEN.parent / "32bit.png").read_bytes()
    theirs = replace(stranger(), image_hash=hashlib.md5(picture, usedforsecurity=False).hexdigest())
    ours = replace(stranger(), id=uuid4(), pack_digest=load_pack(settings).info.digest)
    await Celebrities(database).copy_in([theirs, ours])
    with pytest.raises(PackMismatchError, match="1 of these pictures"):
        await run(settings, limit=1)


async def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SEMBLANCE_DATABASE_URL"):
        await run(Settings(home=tmp_path))
    away = Settings.model_validate({"home": tmp_path, "database_url": "postgresql://u:secret@127.0.0.1:9/x"})
    with pytest.raises(DatabaseError) as caught:
        await run(away)
    assert "secret" not in str(caught.value)


async def test_a_database_without_schema_is_refused(tmp_path: Path, empty_dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="semblance migrate"):
        await run(Settings.model_validate({"home": tmp_path, "database_url": empty_dsn}))


@pytest.mark.usefixtures("s3_endpoint")
async def test_an_unreachable_store_is_reported(settings: Settings) -> None:
    absent = settings.model_copy(update={"storage_url": "s3://no-such-bucket-here/x"})
    with pytest.raises(StorageError, match="The picture store failed"):
        await run(absent)


async def test_a_missing_source_is_reported(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no folder"):
        await run(settings, source=str(tmp_path / "nowhere"))


async def test_an_unwritable_report_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="report"):
        await run(settings, report=tmp_path / "file" / "report.jsonl")


def test_a_disk_that_is_full_under_the_report_is_said_in_a_sentence(small_disk: Path) -> None:
    with suppress(OSError), (small_disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    with (
        pytest.raises(ConfigurationError, match=r"report\.jsonl cannot be written: No space left"),
        JobReport(small_disk / "report.jsonl") as report,
    ):
        report.write([{"input": "a.jpg", "outcome": "ingested"}])
