"""Embeddings from a real Qdrant, in its local mode. Its client takes a second to import:
only what runs imports it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from rich.console import Console

from batch.import_qdrant.job import QdrantImportSummary, import_collection
from batch.import_qdrant.points import PayloadFields
from db.pool import Database
from semblance.errors import ConfigurationError, QdrantError
from semblance.types import ModelInfo
from tests.support.commands import job

if TYPE_CHECKING:
    from qdrant_client.models import PointStruct

MODEL = ModelInfo("old", "0" * 64)
QUIET = Console(quiet=True)
NOTHING_SAID = "the payload has no profile_id and no image_path"


def unit(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    return vector / np.linalg.norm(vector)


def add_faces(dsn: str, faces: list[UUID]) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        owner = uuid4()
        connection.execute("INSERT INTO profiles (id, profile_type) VALUES (%s, 'user')", [owner])
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO faces (id, profile_id, image_path) VALUES (%s, %s, 'faces/x.jpg')",
                [(face, owner) for face in faces],
            )


def make_collection(folder: Path, points: list[PointStruct], size: int = 512) -> None:
    from qdrant_client import QdrantClient, models

    # Otherwise it would open a database to ask whether threads may share one, and leave it open.
    client = QdrantClient(path=str(folder), force_disable_check_same_thread=True)
    # Dot, which keeps vectors as they are given; Cosine would normalise them.
    vectors = models.VectorParams(size=size, distance=models.Distance.DOT)
    client.create_collection("faces", vectors_config=vectors)
    client.upload_points("faces", points)
    client.close()


def point_of(identity: int | str, vector: NDArray[np.float32], payload: dict[str, Any]) -> PointStruct:
    from qdrant_client.models import PointStruct

    return PointStruct(id=identity, vector=vector.tolist(), payload=payload)


def point(number: int, face: UUID | str | None, vector: NDArray[np.float32]) -> PointStruct:
    return point_of(number, vector, {} if face is None else {"face_id": str(face)})


async def run(
    folder: Path, database: Database, report: Path, name: str = "faces", **options: Any
) -> QdrantImportSummary:
    """An import of the collection in `folder`."""
    from batch.import_qdrant.collection import QdrantCollection

    with QdrantCollection(str(folder), name) as collection:
        return await import_collection(
            collection,
            pack_digest=MODEL.digest,
            database=database,
            report=report,
            console=QUIET,
            **options,
        )


async def test_all_pages_arrive_and_a_second_run_changes_nothing(
    dsn: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = 40
    monkeypatch.setattr("batch.import_qdrant.collection.PAGE", page)
    faces = [uuid4() for _ in range(2 * page + 5)]
    add_faces(dsn, faces)
    make_collection(tmp_path / "q", [point(i, face, unit(i)) for i, face in enumerate(faces)])
    for filled in (len(faces), 0):
        result = await run(tmp_path / "q", database, tmp_path / "r.jsonl")
        assert (result.points, result.filled, result.present) == (
            len(faces), filled, len(faces) - filled,
        )  # fmt: skip
        assert result.coverage.percent == 100.0 and not result.refused
    row = await database.fetchrow("SELECT embedding, pack_digest FROM faces WHERE id = $1", faces[page + 1])
    assert row is not None and row["pack_digest"] == MODEL.digest
    np.testing.assert_allclose(row["embedding"].to_numpy(), unit(page + 1), atol=1e-6)


async def test_what_cannot_be_used_is_reported_with_its_reason(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    good, other, stranger, missing = (uuid4() for _ in range(4))
    add_faces(dsn, [good, other, missing])
    await database.execute(
        "UPDATE faces SET embedding = $2, pack_digest = $3 WHERE id = $1", other, unit(50), MODEL.digest
    )
    make_collection(
        tmp_path / "q",
        [
            point(1, good, unit(1)),
            point(2, good, unit(2)),
            point(3, None, unit(3)),
            point(4, "not a uuid", unit(4)),
            point(5, uuid4(), unit(5) * 2),
            point(6, uuid4(), unit(6) * 0),
            point(7, stranger, unit(7)),
            point(8, other, unit(8)),
        ],
    )
    report = tmp_path / "r.jsonl"
    result = await run(tmp_path / "q", database, report)
    assert result.filled == 1
    assert result.refused == {
        "a second point of the face": 1,
        f"no face_id; {NOTHING_SAID}": 2,
        "not of unit length": 2,
        f"unknown face; {NOTHING_SAID}": 1,
        "another embedding": 1,
    }
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert {"id": str(stranger), "reason": f"unknown face; {NOTHING_SAID}"} in lines and len(lines) == 7
    assert (result.coverage.total, result.coverage.embedded) == (3, 2)
    kept = await database.fetchval("SELECT embedding FROM faces WHERE id = $1", other)
    np.testing.assert_allclose(kept.to_numpy(), unit(50), atol=1e-6)


async def test_a_vector_of_another_size_is_refused(dsn: str, database: Database, tmp_path: Path) -> None:
    face = uuid4()
    add_faces(dsn, [face])
    make_collection(tmp_path / "q", [point(1, face, unit(1)[:128])], size=128)
    result = await run(tmp_path / "q", database, tmp_path / "r.jsonl")
    assert result.refused == {"not 512 numbers": 1}


async def test_an_unknown_collection_is_an_error(database: Database, tmp_path: Path) -> None:
    make_collection(tmp_path / "q", [])
    with pytest.raises(QdrantError, match="nothing"):
        await run(tmp_path / "q", database, tmp_path / "r.jsonl", "nothing")


async def test_a_report_that_cannot_be_written_is_an_error(database: Database, tmp_path: Path) -> None:
    make_collection(tmp_path / "q", [])
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await run(tmp_path / "q", database, tmp_path / "q")


def test_the_command_ends_with_the_verification(dsn: str, tmp_path: Path) -> None:
    face = uuid4()
    add_faces(dsn, [face])
    make_collection(tmp_path / "q", [point(1, face, unit(1))])
    done = job(
        "batch.import_qdrant",
        str(tmp_path / "q"),
        environment={"SEMBLANCE_DATABASE_URL": dsn, "SEMBLANCE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 (100.00 %)" in done.stdout
    assert done.stderr == ""


async def imported(
    folder: Path, database: Database, points: list[PointStruct] | None = None, **options: Any
) -> QdrantImportSummary:
    """One run over the collection in the folder, which is made of the points if any are given."""
    if points is not None:
        make_collection(folder / "q", points)
    return await run(folder / "q", database, folder / "r.jsonl", **options)


def described(
    identity: int | str, seed: int, profile: UUID | str | None, path: object, **payload: object
) -> PointStruct:
    payload |= {"profile_id": None if profile is None else str(profile), "image_path": path}
    said = {name: value for name, value in payload.items() if value is not None}
    return point_of(identity, unit(seed), said)


async def add_profile(database: Database) -> UUID:
    profile = uuid4()
    await database.execute("INSERT INTO profiles (id, profile_type) VALUES ($1, 'user')", profile)
    return profile


async def test_faces_are_created_from_payloads_if_the_table_has_none(
    database: Database, tmp_path: Path
) -> None:
    """They are created once, with stable ids, however often the import runs, and only if asked for."""
    ada, named, own = await add_profile(database), uuid4(), uuid4()
    points = [
        described(
            1, 1, ada, "a/1.jpg", face_id=str(named), image_hash="a" * 32, created_at="2025-10-26T12:00:00Z"
        ),
        described(str(own), 2, ada, "a/2.jpg", image_hash="no hash", created_at="yesterday"),
        described(3, 3, ada, "https://old.host/3.jpg", created_at=1761480000),
    ]
    result = await imported(tmp_path, database, points)
    assert (result.created, result.creatable, result.refused) == (0, 3, {"unknown face": 3})
    assert result.coverage.total == 0
    result = await imported(tmp_path, database, create=True)
    assert (result.points, result.created, result.filled, result.present) == (3, 3, 0, 0)
    assert not result.refused
    assert "faces created" in [str(cell) for cell in result.table().columns[0].cells]
    rows = {row["image_path"]: row for row in await database.fetch("SELECT * FROM faces")}
    assert {row["profile_id"] for row in rows.values()} == {ada}
    assert {row["pack_digest"] for row in rows.values()} == {MODEL.digest}
    assert (rows["a/1.jpg"]["id"], rows["a/1.jpg"]["image_hash"]) == (named, "a" * 32)
    assert (rows["a/2.jpg"]["id"], rows["a/2.jpg"]["image_hash"]) == (own, None)
    when = datetime(2025, 10, 26, 12, tzinfo=UTC)
    assert rows["a/1.jpg"]["created_at"] == rows["https://old.host/3.jpg"]["created_at"] == when
    np.testing.assert_allclose(rows["a/2.jpg"]["embedding"].to_numpy(), unit(2), atol=1e-6)
    # Matches are searched for, as after an upload.
    assert await database.fetchval("SELECT count(*) FROM match_jobs WHERE user_id = $1", ada) == 3
    again = await imported(tmp_path, database, create=True)
    assert (again.created, again.filled, again.present) == (0, 0, 3)


async def test_incomplete_payloads_are_counted_with_examples_and_create_no_profile(
    database: Database, tmp_path: Path
) -> None:
    ada, stranger, face = await add_profile(database), uuid4(), uuid4()
    points = [
        described(1, 1, stranger, "a/1.jpg"),
        described(2, 2, None, "a/2.jpg"),
        described(3, 3, "ada@mit.edu", "a/3.jpg"),
        described(4, 4, ada, None),
        described(5, 5, ada, 17),
        described(6, 6, ada, "a\nb"),
        described(7, 7, None, None, face_id=str(face)),
        described(8, 8, ada, "a/8.jpg", image_hash="b" * 32),
        described(9, 9, ada, "a/9.jpg", image_hash="b" * 32),
        *(described(number, number, None, "x.jpg") for number in range(10, 15)),
    ]
    result = await imported(tmp_path, database, points, create=True)
    assert result.created == 1
    assert result.refused == {
        "unknown profile": 1,
        "no face_id; the payload has no profile_id": 7,
        "no face_id; the payload has no image_path": 3,
        f"unknown face; {NOTHING_SAID}": 1,
        "its user has this picture already": 1,
    }
    assert result.examples["unknown profile"] == ["1"]
    assert result.examples["no face_id; the payload has no profile_id"] == ["2", "3", "10"]
    assert result.examples[f"unknown face; {NOTHING_SAID}"] == [str(face)]
    assert await database.fetchval("SELECT count(*) FROM profiles") == 1
    assert result.creatable == 0
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(lines) == result.refused.total()


async def test_payload_fields_may_have_other_names(database: Database, tmp_path: Path) -> None:
    ada, face = await add_profile(database), uuid4()
    payload = {"id": str(face), "user": str(ada), "file": "a/1.jpg", "md5": "c" * 32, "at": "2025-01-01"}
    point = point_of(1, unit(1), payload)
    fields = PayloadFields("id", "user", "file", "md5", "at")
    result = await imported(tmp_path, database, [point], create=True, fields=fields)
    assert result.created == 1
    row = await database.fetchrow("SELECT id, profile_id, image_path, image_hash FROM faces")
    assert row is not None
    assert tuple(row) == (face, ada, "a/1.jpg", "c" * 32)


@pytest.mark.parametrize("kind", ["uuid", "text"])
async def test_the_old_tables_column_names_the_owner_of_a_point(
    dsn: str, database: Database, tmp_path: Path, kind: str
) -> None:
    """It takes precedence over the payload, which may name an earlier face. If no row
    names the point, the payload decides."""
    linked, other, named = uuid4(), uuid4(), uuid4()
    add_faces(dsn, [linked, other, named])
    point = uuid4()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE faces ADD COLUMN qdrant_point_id {kind}")
        connection.execute("UPDATE faces SET qdrant_point_id = %s WHERE id = %s", [str(point), linked])
    points = [
        point_of(str(point), unit(1), {"face_id": str(uuid4())}),
        point_of(str(uuid4()), unit(2), {"face_id": str(named)}),
        point_of(str(other), unit(3), {}),
    ]
    result = await imported(tmp_path, database, points)
    assert (result.filled, dict(result.refused)) == (3, {})
    rows = await database.fetch("SELECT id, embedding FROM faces")
    found = {row["id"]: row["embedding"].to_numpy() for row in rows}
    for face, seed in ((linked, 1), (named, 2), (other, 3)):
        np.testing.assert_allclose(found[face], unit(seed), atol=1e-6)


async def test_the_application_itself_may_import(
    service_dsn: str, database: Database, tmp_path: Path
) -> None:
    ada = await add_profile(database)
    service = await Database.connect(service_dsn, pool_size=1)
    try:
        result = await imported(tmp_path, service, [described(1, 1, ada, "a/1.jpg")], create=True)
    finally:
        await service.close()
    assert result.created == 1


def command(dsn: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The command on the collection in `folder`/q."""
    environment = {"SEMBLANCE_DATABASE_URL": dsn, "SEMBLANCE_HOME": str(folder), "COLUMNS": "120"}
    return job("batch.import_qdrant", str(folder / "q"), *options, environment=environment)


def test_a_dry_run_of_the_command_reports_what_it_would_do(dsn: str, tmp_path: Path) -> None:
    make_collection(tmp_path / "q", [described(1, 1, uuid4(), "a/1.jpg")])
    done = command(dsn, tmp_path)
    assert done.returncode == 1
    assert "1 points without a face could become one: --create does that." in done.stdout


def test_embeddings_are_not_attributed_to_the_configured_pack(dsn: str, tmp_path: Path) -> None:
    # Half of the faces have theirs already, of a pack that nobody could name.
    known, other = uuid4(), uuid4()
    add_faces(dsn, [known, other])
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "UPDATE faces SET embedding = %s, pack_digest = %s WHERE id = %s",
            [str(unit(1).tolist()), MODEL.digest, known],
        )
    make_collection(tmp_path / "q", [point(1, known, unit(1)), point(2, other, unit(2))])
    refused = command(dsn, tmp_path)
    assert refused.returncode == 1
    assert f"--pack {MODEL.digest} if it is the same one" in refused.stderr
    assert command(dsn, tmp_path, "--pack", MODEL.digest).returncode == 0
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT pack_digest, count(*) FROM faces GROUP BY 1").fetchall()
    assert found == [(MODEL.digest, 2)]


def test_without_its_client_the_command_says_what_to_install(dsn: str, tmp_path: Path) -> None:
    """The client is an extra. The test hides the module to simulate an environment without it."""
    program = (
        "import sys, runpy; sys.modules['qdrant_client'] = None; sys.argv = ['import_qdrant', 'nowhere'];"
        " runpy.run_module('batch.import_qdrant', run_name='__main__')"
    )
    environment = {"SEMBLANCE_DATABASE_URL": dsn, "SEMBLANCE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "error: The Qdrant client is not installed here." in done.stderr
    assert "pip install qdrant-client" in done.stderr
    assert "Traceback" not in done.stderr
