"""A change of packs over stored pictures, with two real packs, killed half way, and by the command."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import cv2
import numpy as np
import psutil
import psycopg
import pytest
from rich.console import Console

import batch.reembed.job
import batch.workers
from batch.reembed.job import ReembedOptions, ReembedSummary, check_owner, choose_pack, drop, fill, switch
from batch.reembed.worker import ReembedResult, ReembedWorker, TableRow, is_same
from db.pool import Database
from db.queries import queries
from db.spare_embeddings import SpareEmbeddings
from deployments.faces.pipeline import LocalPipeline
from deployments.packs.pack import OPEN_FOLDER
from matching.celebrity_search import CelebritySearch
from semblance.errors import ConfigurationError, ConflictError, WorkersError
from semblance.files import file_sha256
from semblance.settings import Settings
from semblance.storage.opening import open_storage
from semblance.types import Embedding
from tests.support.commands import job
from tests.support.photos import couple
from tests.support.pictures import portrait
from tests.support.rows_matching import add_celebrities, add_face, add_user, famous
from tests.support.waiting import wait_for

CELEBRITIES = 9
QUIET = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pack `other`: the open pack with another centre, hence with other embeddings."""
    folder = tmp_path_factory.mktemp("packs")
    shutil.copytree(OPEN_FOLDER, folder / "other")
    path = folder / "other" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["name"] = "other"
    centre = np.random.default_rng(0).normal(0, 0.05, 128).astype(np.float32)
    np.save(path.with_name("centre.npy"), centre)
    manifest["roles"]["embed"]["centre"] = "centre.npy"
    manifest["sha256"]["centre.npy"] = file_sha256(path.with_name("centre.npy"))
    path.write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def settings(tmp_path: Path, packs: Path, dsn: str, service_dsn: str) -> Settings:
    return Settings.model_validate({
        "home": tmp_path / "home",
        "pack_dir": packs,
        "database_url": service_dsn,
        "owner_database_url": dsn,
    })  # fmt: skip


@pytest.fixture(scope="module")
def other(packs: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalPipeline:
    """The second pack, run in this process."""
    return LocalPipeline(Settings(home=tmp_path_factory.mktemp("home"), pack="other", pack_dir=packs))


def jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    scale = 320 / max(image.shape[:2])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


class PictureWorld:
    """Stored pictures and their rows, embedded by the open pack. pictures: those of the rows that can be
    embedded again, by id; broken: the outcome of the others."""

    def __init__(self, pipeline: LocalPipeline, settings: Settings, database: Database) -> None:
        self._pipeline = pipeline
        self._storage = open_storage(settings)
        self._database = database
        self.pictures: dict[UUID, bytes] = {}
        self.broken: dict[UUID, str] = {}
        self.couple: UUID

    async def build(self) -> None:
        rows = []
        for number in range(CELEBRITIES):
            picture = jpeg(portrait(number), 60 + number)
            key = f"celebrities/{number}.jpg"
            await self._storage.put(key, picture, "image/jpeg")
            face = self._pipeline.analyze_photo(picture, 1)[1][0]
            row = famous(
                number,
                face.embedding,
                image_path=key,
                pack_digest=self._pipeline.model.digest,
                landmarks_68=face.detected.landmarks.tolist(),
            )
            rows.append(row)
            self.pictures[row.id] = picture
        gone = replace(rows[0], id=uuid4(), image_hash="gone", image_path="celebrities/gone.jpg")
        self.broken[gone.id] = "missing"
        await add_celebrities(self._database, *rows, gone)
        # Of two people the smaller, whom the user chose.
        picture = couple()
        faces = self._pipeline.analyze_photo(picture)[1]
        assert len(faces) == 2
        self.couple = await self.add_face(picture, faces[1].detected.landmarks.tolist(), faces[1].embedding)
        del self.pictures[self.couple]
        strange = (np.array(faces[0].detected.landmarks) + 5000).tolist()
        self._break(await self.add_face(picture, strange, faces[0].embedding), "another_face")
        nobody = jpeg(np.zeros((320, 320, 3), np.uint8))
        self._break(await self.add_face(nobody, None, faces[0].embedding), "no_face")
        self._break(await self.add_face(b"no picture", None, faces[0].embedding), "unreadable")

    async def add_face(
        self, picture: bytes, landmarks: list[list[float]] | None, embedding: Embedding
    ) -> UUID:
        key = f"faces/{uuid4()}.jpg"
        await self._storage.put(key, picture, "image/jpeg")
        face = await add_face(
            self._database,
            await add_user(self._database),
            image_path=key,
            pack_digest=self._pipeline.model.digest,
            landmarks_68=landmarks,
            embedding=embedding,
        )
        self.pictures[face] = picture
        return face

    async def upload(self, number: int) -> UUID:
        """A new face, stored as by a service with the open pack."""
        picture = jpeg(portrait(number), 50)
        face = self._pipeline.analyze_photo(picture, 1)[1][0]
        return await self.add_face(picture, face.detected.landmarks.tolist(), face.embedding)

    def _break(self, face: UUID, outcome: str) -> None:
        del self.pictures[face]
        self.broken[face] = outcome


@pytest.fixture
async def world(pipeline: LocalPipeline, settings: Settings, database: Database) -> PictureWorld:
    world = PictureWorld(pipeline, settings, database)
    await world.build()
    return world


def owner(settings: Settings) -> str:
    assert settings.owner_database_url is not None
    return settings.owner_database_url.get_secret_value()


def spare(dsn: str) -> dict[UUID, str]:
    """Spare embeddings as text, by id."""
    with psycopg.connect(dsn) as connection:
        return dict(
            connection.execute(
                "SELECT face_id, embedding::text FROM spare_face_embeddings"
                " UNION ALL SELECT celebrity_id, embedding::text FROM spare_celebrity_embeddings"
            ).fetchall()
        )


def served(dsn: str) -> dict[UUID, tuple[str, str]]:
    """Digest and embedding as text, by id."""
    query = "SELECT id, pack_digest, embedding::text FROM {}"
    with psycopg.connect(dsn) as connection:
        rows = [row for table in ("faces", "celebrities") for row in connection.execute(query.format(table))]
    return {key: (digest, vector) for key, digest, vector in rows}


def vectors(found: dict[UUID, str]) -> dict[UUID, Embedding]:
    return {key: np.array(json.loads(text), np.float32) for key, text in found.items()}


def environment(settings: Settings, address: str = "local") -> dict[str, str]:
    return {
        **os.environ,
        "COLUMNS": "120",
        "RAY_ADDRESS": address,
        "SEMBLANCE_HOME": str(settings.home),
        "SEMBLANCE_PACK_DIR": str(settings.pack_dir),
        "SEMBLANCE_DATABASE_URL": settings.required_database_url.get_secret_value(),
        "SEMBLANCE_OWNER_DATABASE_URL": owner(settings),
    }


def command(settings: Settings, *arguments: str, address: str = "local") -> subprocess.Popen[str]:
    """The command, as a job runs it."""
    return subprocess.Popen(
        [sys.executable, "-m", "batch.reembed", *arguments],
        env=environment(settings, address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers() -> list[psutil.Process]:
    """This Ray's actors that embed."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "ReembedWorker" in "".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.ray
async def test_from_one_pack_to_the_other_and_back(
    world: PictureWorld, settings: Settings, other: LocalPipeline, database: Database, ray_address: str
) -> None:
    """The driver is killed half way, and the workers when it runs again."""
    before = served(owner(settings))
    await _interrupt(world, settings, ray_address)
    interrupted = spare(owner(settings))
    summary = await _fill_while_workers_are_killed(settings, ray_address)

    found = spare(owner(settings))
    assert found.keys() == {*world.pictures, world.couple}
    assert interrupted.items() <= found.items()
    _check_embeddings(world, found, other)
    lines = [json.loads(line) for line in summary.report.read_text().splitlines()]
    assert {UUID(line["id"]): line["outcome"] for line in lines} == world.broken
    assert all(line["reason"] and line["image_path"] for line in lines)
    assert summary.missing == len(world.broken)
    assert summary.counts["embedded"] == len(found) - len(interrupted)
    assert sum(summary.counts.values()) == len(found) - len(interrupted) + len(world.broken)
    # Nothing in use was changed, and the two packs do not agree.
    assert served(owner(settings)) == before
    assert all(vector != before[key][1] for key, vector in found.items())

    late = await world.upload(0)
    before = served(owner(settings))
    probe = other.analyze_photo(world.pictures[late], 1)[1][0].embedding
    left_behind = len(world.broken)
    with pytest.raises(ConflictError, match=f"{left_behind + 1} faces and celebrities have no embedding"):
        await switch(settings, other.model, QUIET, allow_missing=left_behind)
    assert await SpareEmbeddings(database).in_force() != other.model.digest

    # The switch embeds what arrived in between. What could not be embedded still cannot.
    process = command(
        settings,
        *("--pack", "other", "--switch", "--allow-missing", str(left_behind), "--actors", "1"),
        address=ray_address,
    )
    output, errors = await asyncio.to_thread(process.communicate, timeout=200)
    assert process.returncode == 0, errors
    assert "best 20 in common" in output
    assert f"is in force now, for 2 faces and {CELEBRITIES} celebrities." in output
    assert "SEMBLANCE_PACK=other" in output
    assert await SpareEmbeddings(database).in_force() == other.model.digest
    assert served(owner(settings)) == before
    switched = spare(owner(settings))
    assert switched.items() >= found.items() and switched.keys() - found.keys() == {late}
    hits = await CelebritySearch(database).nearest(probe, pack_digest=other.model.digest, limit=3)
    assert world.pictures.keys() > {hit.celebrity_id for hit in hits}
    assert all(hit.similarity > 0.9 for hit in hits)

    settings_of_open, model = choose_pack(settings, "open")
    with pytest.raises(ConflictError, match="in force"):
        await drop(settings, other.model.digest, QUIET)
    counts = {"faces": 2 + len(world.broken) - 1, "celebrities": CELEBRITIES + 1}
    assert await switch(settings_of_open, model, QUIET) == counts
    assert served(owner(settings)) == before
    assert await drop(settings, other.model.digest, QUIET) == {"faces": 2, "celebrities": CELEBRITIES}
    assert served(owner(settings)) == before and not spare(owner(settings))


async def _interrupt(world: PictureWorld, settings: Settings, address: str) -> None:
    """Kill the driver when part of the work is done."""
    small = ("--batch-size", "1", "--actors", "1")
    with psycopg.connect(owner(settings)) as gate:
        # The last of them gets no embedding meanwhile, however long the kill takes.
        gate.execute("SELECT FROM celebrities ORDER BY id DESC LIMIT 1 FOR UPDATE")
        driver = command(settings, "--pack", "other", *small, address=address)
        await asyncio.to_thread(wait_for, lambda: len(spare(owner(settings))) >= 2)
        driver.kill()
        driver.communicate()
    assert driver.returncode == -signal.SIGKILL
    assert 2 <= len(spare(owner(settings))) < len(world.pictures)
    await asyncio.to_thread(wait_for, lambda: not workers())


async def _fill_while_workers_are_killed(settings: Settings, address: str) -> ReembedSummary:
    done = len(spare(owner(settings)))
    options = ReembedOptions(address=address, batch_size=2, actors=1)
    filling = asyncio.create_task(fill(options, *choose_pack(settings, "other"), QUIET))
    while len(spare(owner(settings))) == done:
        assert not filling.done()
        await asyncio.sleep(0.01)
    victims = workers()
    for victim in victims:
        victim.kill()
    assert victims and not filling.done()
    return await filling


def _check_embeddings(world: PictureWorld, found: dict[UUID, str], other: LocalPipeline) -> None:
    """Each is what an upload with this pack would get for the face of the row."""
    embeddings = vectors(found)
    for key, picture in world.pictures.items():
        expected = other.analyze_photo(picture, 1)[1][0].embedding
        np.testing.assert_allclose(embeddings[key], expected, atol=1e-5)
    one, two = other.analyze_photo(couple())[1]
    mine = embeddings[world.couple]
    assert mine @ two.embedding > 0.999 > mine @ one.embedding


async def test_refusals(settings: Settings, database: Database, pipeline: LocalPipeline) -> None:
    _, model = choose_pack(settings, "other")
    with pytest.raises(ConflictError, match="no embeddings of the pack aaaaaaaaaaaa"):
        await drop(settings, "a" * 64, QUIET)
    with pytest.raises(ConflictError, match="no embedding of the pack"):
        await switch(settings, model, QUIET)
    await check_owner(settings)
    unnamed = settings.model_copy(update={"owner_database_url": None})
    with pytest.raises(ConfigurationError, match="SEMBLANCE_OWNER_DATABASE_URL"):
        await check_owner(unnamed)


async def test_an_index_without_embeddings_is_dropped(settings: Settings, database: Database) -> None:
    """As a removal leaves it that was killed before its last step."""
    for index in await database.fetch(queries["spare_vector_indexes"], "a" * 64):
        await database.execute(index["make"])
    assert await drop(settings, "a" * 64, QUIET) == {"faces": 0, "celebrities": 0}
    with pytest.raises(ConflictError, match="no embeddings of the pack aaaaaaaaaaaa"):
        await drop(settings, "a" * 64, QUIET)


async def test_a_change_that_is_done_succeeds_again(
    settings: Settings, database: Database, pipeline: LocalPipeline
) -> None:
    empty = await fill(ReembedOptions(), *choose_pack(settings, "open"), QUIET)
    assert (empty.embedded, empty.missing) == (0, 0)
    await add_face(database, await add_user(database), pack_digest=pipeline.model.digest)
    for arguments in ((), ("--switch",)):
        done = job("batch.reembed", "--pack", "open", *arguments, environment=environment(settings))
        assert done.returncode == 0, done.stderr
        assert "Nothing is left to do: open" in done.stdout
        assert "is in force and has embedded all 1 rows." in done.stdout


@pytest.mark.ray
async def test_a_node_with_another_pack_is_refused(
    settings: Settings, database: Database, ray_address: str
) -> None:
    await add_face(database, await add_user(database))
    chosen, model = choose_pack(settings, "other")
    options = ReembedOptions(address=ray_address, actors=1)
    with pytest.raises(WorkersError, match="install the same one on every node"):
        await fill(options, chosen, replace(model, digest="f" * 64), QUIET)


def test_an_error_is_a_sentence_and_a_status(settings: Settings) -> None:
    done = job("batch.reembed", "--pack", "nothing", environment=environment(settings))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: Model pack 'nothing' was not found")


def test_help_explains_the_options(settings: Settings) -> None:
    output = job("batch.reembed", "--help", environment=environment(settings)).stdout
    for words in ("ray job submit", "--switch", "--allow-missing", "--drop", "batch.rematch", "--pack open"):
        assert words in output


def test_the_same_face_is_where_it_was() -> None:
    face = np.random.default_rng(0).uniform(100, 200, (68, 2)).astype(np.float32)
    assert is_same(face, face + 5)
    assert not is_same(face, face + 100)
    assert not is_same(face * 0, face)


class FragileReembedWorker(ReembedWorker):
    """A worker that one picture kills, as a bug in a native decoder would."""

    def __init__(self, settings: Settings, pack_digest: str) -> None:
        """Without nets, to start quickly."""

    def process(self, rows: Sequence[TableRow]) -> list[ReembedResult]:
        if any(row.image_path == "faces/killer.jpg" for _, row in rows):
            os.kill(os.getpid(), signal.SIGKILL)
        vector: Any = np.ones(512, np.float32) / np.sqrt(np.float32(512))
        return [ReembedResult("embedded", embedding=vector) for _ in rows]


@pytest.mark.ray
async def test_a_picture_that_kills_workers_fails_alone(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, ray_address: str
) -> None:
    monkeypatch.setattr(batch.reembed.job, "ReembedWorker", FragileReembedWorker)
    monkeypatch.setattr(batch.workers, "ATTEMPTS", 1)
    user = await add_user(database)
    killer = await add_face(database, user, image_path="faces/killer.jpg")
    for _ in range(5):
        await add_face(database, user)
    chosen, model = choose_pack(settings, "other")
    options = ReembedOptions(address=ray_address, batch_size=3, actors=1)
    summary = await fill(options, chosen, model, QUIET)
    assert summary.counts == {"embedded": 5, "failed": 1}
    (line,) = [json.loads(line) for line in summary.report.read_text().splitlines()]
    assert (line["id"], line["outcome"]) == (str(killer), "failed")


async def test_the_way_back_to_a_pack_that_is_not_installed(
    settings: Settings, database: Database, pipeline: LocalPipeline
) -> None:
    """As in an adopted database, whose embeddings have a digest but no pack."""
    old, new = "0" * 64, pipeline.model.digest
    face = await add_face(database, await add_user(database), pack_digest=old)
    spare_embeddings = SpareEmbeddings(database)
    row = await database.fetchrow("SELECT embedding FROM faces WHERE id = $1", face)
    assert row is not None
    await spare_embeddings.add("faces", {face: row["embedding"].to_numpy()}, new)
    await switch(settings, pipeline.model, QUIET)
    arguments = ("--pack", old, "--switch")
    done = await asyncio.to_thread(job, "batch.reembed", *arguments, environment=environment(settings))
    assert done.returncode == 0, done.stderr
    assert "the pack 000000000000 is in force now, for 1 faces and 0 celebrities." in done.stdout
    assert await spare_embeddings.in_force() == old
