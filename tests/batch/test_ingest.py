"""Each input of a source has one outcome, and each accepted picture is in the database and in the store."""

from __future__ import annotations

import functools
import http.server
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid5

import cv2
import numpy as np
import obstore
import psycopg
import pytest
from rich.console import Console

from batch.ingest.job import IngestOptions, ingest
from batch.ingest.outcomes import IngestSummary
from batch.ingest.worker import CELEBRITY_NAMESPACE, IngestRules
from semblance.settings import Settings
from semblance.storage.opening import open_bucket, open_storage
from semblance.storage.pictures import keys_of
from tests.support.gallery import OBAMA_BIO, make_gallery
from tests.support.http_server import QuietHandler, serving
from tests.support.laden import assert_only_a_picture
from tests.support.photos import ASTRONAUT, BIDEN, GROUP, NO_FACE, OBAMA, couple
from tests.support.pictures import portrait

RULES = IngestRules(min_quality=0.6, largest=False, dry_run=False)
pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_address")]


@pytest.fixture
def settings(tmp_path: Path, dsn: str) -> Settings:
    return Settings.model_validate(
        {"home": tmp_path / "home", "database_url": dsn, "max_image_bytes": 1_500_000}
    )


async def run(
    source: object, settings: Settings, **options: Any
) -> tuple[IngestSummary, list[dict[str, str]]]:
    """An ingestion and the lines of its report. By one worker, each of which takes seconds to start."""
    changed = {"rules": RULES, "actors": 1, **options}
    summary = await ingest(IngestOptions(str(source), **changed), settings, Console(file=io.StringIO()))
    return summary, [json.loads(line) for line in summary.report.read_text().splitlines()]


def by_input(report: list[dict[str, str]]) -> dict[str, str]:
    """The outcomes of a report."""
    return {line["input"]: line["outcome"] for line in report}


def rows(dsn: str) -> dict[str, dict[str, Any]]:
    """The gallery by name."""
    with psycopg.connect(dsn, row_factory=psycopg.rows.dict_row) as connection:
        found = connection.execute("SELECT *, embedding::text AS vector FROM celebrities").fetchall()
    return {row["name"]: row for row in found}


def make_source(folder: Path) -> Path:
    """A real gallery with one input of each kind that is refused."""
    entries = json.loads((make_gallery(folder) / "metadata.json").read_text())["celebrities"]
    odd = folder / "odd"
    odd.mkdir()
    (odd / "group.jpg").write_bytes(GROUP.read_bytes())
    (odd / "no-face.jpg").write_bytes(NO_FACE.read_bytes())
    (odd / "two-people.jpg").write_bytes(couple())
    (odd / "again.jpg").write_bytes((folder / "politicians" / "joe-biden.jpg").read_bytes())
    cv2.imwrite(str(odd / "blurred.jpg"), cv2.GaussianBlur(portrait(2), (0, 0), 6))
    (odd / "text.jpg").write_text("no picture")
    (odd / "empty.jpg").write_bytes(b"")
    (odd / "long.jpg").write_bytes(b"x" * 1_500_001)
    (odd / "other.jpg").write_bytes(b"x")
    entries.append({"filename": "gone.jpg", "category": "odd"})
    entries.append({"filename": "other.jpg", "gender": "robot"})
    (folder / "metadata.json").write_text(json.dumps({"celebrities": entries}))
    return folder


OUTCOMES = {
    **{f"actors/person-{number}.png": "ingested" for number in range(1, 7)},
    "astronauts/eileen-collins.png": "ingested",
    "odd/again.jpg": "ingested",
    "odd/blurred.jpg": "low_quality",
    "odd/empty.jpg": "unreadable",
    "odd/group.jpg": "several_faces",
    "odd/long.jpg": "too_large",
    "odd/no-face.jpg": "no_face",
    "odd/other.jpg": "invalid_metadata",
    "odd/text.jpg": "unreadable",
    "odd/two-people.jpg": "several_faces",
    "politicians/barack-obama.jpg": "ingested",
    "politicians/joe-biden.jpg": "duplicate",
    "odd/gone.jpg": "missing",
}


async def test_every_input_has_one_outcome(tmp_path: Path, settings: Settings, dsn: str) -> None:
    source = make_source(tmp_path / "source")

    summary, lines = await run(source, settings, rules=IngestRules(0.6, largest=False, dry_run=True))
    assert by_input(lines) == OUTCOMES, lines
    assert rows(dsn) == {}
    storage = open_storage(settings)
    assert await storage.keys("celebrities") == []

    summary, lines = await run(source, settings, batch_size=3, actors=2)
    assert [line["input"] for line in lines] == list(OUTCOMES)
    assert by_input(lines) == OUTCOMES, lines
    assert summary.images == len(OUTCOMES)
    reasons = {line["input"]: line.get("reason", "") for line in lines}
    assert reasons["politicians/joe-biden.jpg"] == "the same picture as odd/again.jpg"
    assert "quality" in reasons["odd/blurred.jpg"]
    assert "robot" in reasons["odd/other.jpg"]
    assert all(bool(reasons[line["input"]]) == (line["outcome"] != "ingested") for line in lines)

    gallery = rows(dsn)
    assert sorted(gallery) == sorted(line["name"] for line in lines if line["outcome"] == "ingested")
    obama = gallery["Barack Obama"]
    assert obama["category"] == "politicians"
    assert obama["gender"] == "male"
    assert obama["bio"] == OBAMA_BIO
    assert obama["id"] == uuid5(CELEBRITY_NAMESPACE, obama["image_hash"])
    for key in keys_of(obama["image_path"]):
        assert_only_a_picture(storage.get_sync(key))
    assert await storage.keys("celebrities") == all_keys(gallery)
    assert np.linalg.norm(json.loads(obama["vector"])) == pytest.approx(1, abs=1e-4)
    assert np.array(obama["landmarks_68"]).shape == (68, 2)
    assert 0.6 <= obama["quality_score"] <= 1
    assert set(obama["pose"]) == {"yaw", "pitch", "roll"}
    assert sum(obama["emotion_scores"].values()) == pytest.approx(1, abs=1e-3)

    summary, lines = await run(source, settings, rules=IngestRules(0, largest=True, dry_run=False))
    changed = {
        "odd/blurred.jpg": "ingested",
        "odd/group.jpg": "ingested",
        "odd/two-people.jpg": "ingested",
    }
    present = {label: "already_present" for label, outcome in OUTCOMES.items() if outcome == "ingested"}
    assert by_input(lines) == OUTCOMES | present | changed, lines
    assert {name: row for name, row in rows(dsn).items() if name in gallery} == gallery


async def test_unstated_genders_are_predicted_for_earlier_celebrities_too(
    tmp_path: Path, settings: Settings, dsn: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "eileen-collins.png").write_bytes(ASTRONAUT.read_bytes())
    await run(source, settings)
    (first,) = rows(dsn).values()
    assert (first["gender"], first["seen_gender"]) == (None, "female")
    with psycopg.connect(dsn) as connection:
        connection.execute("UPDATE celebrities SET seen_gender = NULL")
    for outcome in ("ingested", "already_present"):
        _, (line,) = await run(source, settings)
        assert line["outcome"] == outcome
        assert rows(dsn) == {first["name"]: {**first, "updated_at": rows(dsn)[first["name"]]["updated_at"]}}


def all_keys(gallery: dict[str, Any]) -> list[str]:
    """The keys of all files of these rows."""
    return sorted(key for row in gallery.values() for key in keys_of(row["image_path"]))


class _Files(QuietHandler, http.server.SimpleHTTPRequestHandler):
    """A folder's files."""


@pytest.fixture
def website(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of a web server."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(_Files, directory=str(folder))
    with serving(handler) as address:
        yield address, folder


async def test_a_manifest_takes_pictures_from_everywhere_into_a_bucket(
    settings: Settings, dsn: str, bucket: str, website: tuple[str, Path]
) -> None:
    address, folder = website
    (folder / "b.jpg").write_bytes(BIDEN.read_bytes())
    (folder / "long.jpg").write_bytes(b"x" * 1_500_001)
    source = open_bucket(f"{bucket}/in")
    obstore.put(source, "a/obama.jpg", OBAMA.read_bytes())
    obstore.put(source, "long.jpg", b"x" * 1_500_001)
    images = {
        "a/obama.jpg": "ingested",
        f"{bucket}/in/a/obama.jpg": "duplicate",
        f"{bucket}/in/gone.jpg": "missing",
        "long.jpg": "too_large",
        f"{address}/b.jpg": "ingested",
        f"{address}/long.jpg": "too_large",
        f"{address}/gone.jpg": "missing",
        "http://127.0.0.1:9/x.jpg": "unreadable",
        # Who may write the bucket may not read this machine.
        ASTRONAUT.as_uri(): "invalid_metadata",
    }
    lines = [json.dumps({"image": image, "name": f"N{index}"}) for index, image in enumerate(images)]
    obstore.put(source, "people.jsonl", "\n".join(lines).encode())

    bucketed = settings.model_copy(update={"storage_url": f"{bucket}/out"})
    rules = replace(RULES, allow_private_hosts=True)
    _, report = await run(f"{bucket}/in/people.jsonl", bucketed, rules=rules)
    assert by_input(report) == images, report
    gallery = rows(dsn)
    assert sorted(gallery) == ["N0", "N4"]
    stored = open_storage(bucketed)
    assert await stored.keys("celebrities") == all_keys(gallery)
    assert_only_a_picture(stored.get_sync(gallery["N4"]["image_path"]))
