"""An ingestion from the console, in this process: uploaded, tried, decided on, settled."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from uuid import UUID

import cv2
import pytest
from pydantic import SecretStr
from rich.console import Console

from batch.ingest.known import KnownHashes
from batch.ingest.outcomes import IngestOutcome, IngestResult, IngestSummary
from batch.ingest.rounds import ingestion_of, work_off
from batch.ingest.sources import BadEntry, Item, Listing
from batch.ingest.worker import IngestRules, IngestWorker
from batch.ingest.writer import Follower, ResultWriter
from batch.progress import JobProgress
from batch.report import JobReport
from db.celebrities import Celebrities
from db.ingestions import Ingestions, NewFile
from db.object_deletions import ObjectDeletions
from db.pool import Database
from semblance.errors import SourceError
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.storage.store import Storage
from tests.support.photos import BIDEN, couple
from tests.support.pictures import portrait

METADATA = {"celebrities": [{"filename": "joe.jpg", "name": "Joe Biden", "category": "politicians"}]}


def zipped() -> bytes:
    """A picture that is taken, one that is there twice, and one for each kind of refusal."""
    blurred = cv2.imencode(".jpg", cv2.GaussianBlur(portrait(2), (0, 0), 6))[1].tobytes()
    files = {
        "gallery/metadata.json": json.dumps(METADATA).encode(),
        "gallery/politicians/joe.jpg": BIDEN.read_bytes(),
        "gallery/again.jpg": BIDEN.read_bytes(),
        "gallery/couple.jpg": couple(),
        "gallery/blurred.jpg": blurred,
        "gallery/text.jpg": b"no picture",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


class Here:
    """The job's work without Ray: the same worker and writer, one input at a time."""

    def __init__(self, settings: Settings, database: Database, folder: Path) -> None:
        rules = IngestRules(min_quality=0.6, largest=False, dry_run=False)
        self._worker = IngestWorker(settings, rules)
        self._celebrities = Celebrities(database)
        self._report = folder / "report.jsonl"
        self.dies_after: int | None = None

    async def run(self, listing: Listing, follow: Follower) -> IngestSummary:
        entries = listing.entries
        known = KnownHashes(await self._celebrities.known_hashes(self._worker._pipeline.model.digest))
        console = Console(quiet=True)
        with JobReport(self._report, append=True) as report:
            writer = ResultWriter(entries, self._celebrities, report, follow)
            with JobProgress(console, "ingest", len(entries)) as progress:
                for index, entry in enumerate(entries):
                    if index == self.dies_after:
                        self.dies_after = None
                        raise KeyboardInterrupt
                    await writer.add(
                        [IngestResult(index, entry.outcome, entry.reason)]
                        if isinstance(entry, BadEntry)
                        else self._worker.process([(index, entry)], known),
                        progress,
                    )
                    await writer.flush(progress)
        return IngestSummary(dict(writer.counts), 1.0, self._report)


@pytest.fixture
def settings(tmp_path: Path, service_dsn: str) -> Settings:
    return Settings(home=tmp_path / "home", database_url=SecretStr(service_dsn))


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return open_storage(settings)


async def upload(ingestions: Ingestions, storage: Storage, ingestion_id: UUID, data: bytes) -> None:
    half = len(data) // 2
    for place, part in enumerate((data[:half], data[half:])):
        key = f"staging/{ingestion_id}/{place}"
        await storage.put(key, part, "application/octet-stream")
        file = NewFile(0, "gallery.zip", len(part), key, place, 2)
        await ingestions.add_file(ingestion_id, file, 2**30)


async def test_an_archive_becomes_celebrities_and_decisions(
    tmp_path: Path, settings: Settings, database: Database, storage: Storage
) -> None:
    ingestions = Ingestions(database)
    ingestion_id = await ingestions.create(None, "others")
    await upload(ingestions, storage, ingestion_id, zipped())
    here = Here(settings, database, tmp_path)

    # The first job dies in between; another one repeats it.
    here.dies_after = 3
    with pytest.raises(KeyboardInterrupt):
        await work_off(ingestion_id, ingestions, storage, settings, here.run)
    await work_off(ingestion_id, ingestions, storage, settings, here.run)
    told = await database.fetch("SELECT payload FROM events WHERE payload ->> 'kind' = 'gallery'")
    assert [row["payload"]["added"] for row in told] == [1]
    row = await ingestions.get(ingestion_id)
    assert (row.state, row.total, row.done, row.taken, row.present) == ("review", 5, 5, 1, 1)
    [celebrity] = await database.fetch("SELECT name, category FROM celebrities")
    # Without metadata, `again.jpg` comes first: its name is of the file, its category the ingestion's.
    assert tuple(celebrity) == ("Again", "others")
    assert await ingestions.refusal_counts(ingestion_id) == {
        "low_quality": 1,
        "several_faces": 1,
        "unreadable": 1,
    }
    refusals = {each.label: each for each in (await ingestions.refusals(ingestion_id, None, 10)).items}
    assert {label: each.decisions for label, each in refusals.items()} == {
        "blurred.jpg": ["anyway", "discard"],
        "couple.jpg": ["largest", "discard"],
        "text.jpg": ["discard"],
    }
    # Only what is not settled is kept.
    await ObjectDeletions(database).drain(storage)
    assert len(await storage.keys(f"staging/{ingestion_id}")) == 3

    assert await ingestions.decide(ingestion_id, "largest", None, None) == (1, True)
    assert await ingestions.decide(ingestion_id, "anyway", [refusals["blurred.jpg"].id], None) == (1, True)
    assert await ingestions.decide(ingestion_id, "anyway", [refusals["text.jpg"].id], None) == (0, False)
    await work_off(ingestion_id, ingestions, storage, settings, here.run)
    row = await ingestions.get(ingestion_id)
    assert (row.state, row.taken, row.refused, row.waiting) == ("review", 3, 1, 0)
    assert await ingestions.decide(ingestion_id, "discard", None, "unreadable") == (1, False)
    row = await ingestions.get(ingestion_id)
    assert (row.state, row.taken, row.refused, row.files) == ("done", 3, 0, 0)
    await ObjectDeletions(database).drain(storage)
    assert await storage.keys("staging") == []
    outcomes = [json.loads(line)["outcome"] for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert outcomes[-2:] == ["ingested", "ingested"]


async def test_names_that_no_database_can_store_stop_no_ingestion(
    tmp_path: Path, database: Database, settings: Settings, storage: Storage
) -> None:
    folder = tmp_path / "photos" / "a"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"caf\xe9.jpg")).touch()
    (folder / os.fsdecode(b"na\xefve.jpg")).touch()
    names = ("na\udcefve.jpg", "\ud800", "\0")
    stated = [{"filename": name, "category": "a", "name": "Ada"} for name in names]
    (folder.parent / "metadata.json").write_text(json.dumps(stated))

    async def run(listing: Listing, follow: Follower) -> IngestSummary:
        await follow(
            [
                (entry, IngestResult(index, getattr(entry, "outcome", "no_face"), f"of {entry.label}"))
                for index, entry in enumerate(listing.entries)
            ]
        )
        return IngestSummary({}, 1.0, tmp_path)

    ingestions = Ingestions(database)
    ingestion_id = await ingestions.create(str(folder.parent), None)
    await work_off(ingestion_id, ingestions, storage, settings, run)
    refusals = {each.label: each for each in (await ingestions.refusals(ingestion_id, None, 10)).items}
    assert refusals.keys() == {"a/caf\\udce9.jpg", "a/na\\udcefve.jpg", "a/\\ud800", "a/\\0"}
    assert refusals["a/na\\udcefve.jpg"].reason == "of a/na\\udcefve.jpg"
    # It would not be found again.
    assert {tuple(each.decisions) for each in refusals.values()} == {("discard",)}


async def test_a_decision_during_the_work_is_carried_out_by_the_same_job(
    database: Database, settings: Settings, storage: Storage
) -> None:
    ingestions = Ingestions(database)
    ingestion_id = await ingestions.create("/data", None)
    tried: list[str | None] = []

    async def run(listing: Listing, follow: Follower) -> IngestSummary:
        results = []
        for index, entry in enumerate(listing.entries):
            assert isinstance(entry, Item)
            tried.append(entry.accept)
            outcome: IngestOutcome = "several_faces" if entry.accept is None else "already_present"
            results.append((entry, IngestResult(index, outcome, "two")))
        await follow(results)
        if len(tried) == 1:
            # Nothing is started for it, because a job works on it.
            assert await ingestions.decide(ingestion_id, "largest", None, "several_faces") == (1, False)
        return IngestSummary({}, 0.0, Path())

    source = settings.home / "source"
    source.mkdir(parents=True)
    (source / "a.jpg").write_bytes(b"")
    await database.execute("UPDATE ingestions SET source = $1", str(source))
    await work_off(ingestion_id, ingestions, storage, settings, run)
    assert tried == [None, "largest"]
    assert (await ingestions.get(ingestion_id)).state == "done"


async def test_an_upload_that_is_no_archive_says_so(
    database: Database, settings: Settings, storage: Storage
) -> None:
    ingestions = Ingestions(database)
    ingestion_id = await ingestions.create(None, None)
    await upload(ingestions, storage, ingestion_id, b"no archive")

    async def run(listing: Listing, follow: Follower) -> IngestSummary:
        raise AssertionError

    with pytest.raises(SourceError, match=r"gallery\.zip is not a ZIP archive"):
        await work_off(ingestion_id, ingestions, storage, settings, run)


@pytest.mark.parametrize("source", ["/data", "ingestion:", "ingestion:x", "s3://ingestion/x"])
def test_other_sources_are_no_ingestions(source: str) -> None:
    assert ingestion_of(source) is None
