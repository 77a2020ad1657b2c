"""Embeddings from a real Qdrant, in its local mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from rich.console import Console

from batch.import_qdrant import PAGE, QdrantError, Verification, import_collection, open_client
from db.pool import Database
from semblance.errors import ConfigurationError
from semblance.types import ModelInfo

MODEL = ModelInfo("old", "0" * 64)
QUIET = Console(quiet=True)


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


def make_collection(folder: Path, points: list[models.PointStruct], size: int = 512) -> None:
    client = QdrantClient(path=str(folder))
    # Dot, which keeps vectors as they are given; Cosine would normalise them.
    vectors = models.VectorParams(size=size, distance=models.Distance.DOT)
    client.create_collection("faces", vectors_config=vectors)
    client.upload_points("faces", points)
    client.close()


def point(number: int, face: UUID | str | None, vector: NDArray[np.float32]) -> models.PointStruct:
    payload = {} if face is None else {"face_id": str(face)}
    return models.PointStruct(id=number, vector=vector.tolist(), payload=payload)


async def run(client: QdrantClient, collection: str, database: Database, report: Path) -> Verification:
    return await import_collection(
        client, collection, model=MODEL, database=database, report=report, console=QUIET
    )


async def test_all_pages_arrive_and_a_second_run_changes_nothing(
    dsn: str, database: Database, tmp_path: Path
) -> None:
    faces = [uuid4() for _ in range(2 * PAGE + 5)]
    add_faces(dsn, faces)
    make_collection(tmp_path / "q", [point(i, face, unit(i)) for i, face in enumerate(faces)])
    for filled in (len(faces), 0):
        client = open_client(str(tmp_path / "q"), None)
        result = await run(client, "faces", database, tmp_path / "r.jsonl")
        client.close()
        assert (result.points, result.filled, result.present) == (
            len(faces), filled, len(faces) - filled,
        )  # fmt: skip
        assert result.coverage.percent == 100.0 and not result.refused
    row = await database.fetchrow("SELECT embedding, pack_digest FROM faces WHERE id = $1", faces[PAGE + 1])
    assert row is not None and row["pack_digest"] == MODEL.digest
    np.testing.assert_allclose(row["embedding"].to_numpy(), unit(PAGE + 1), atol=1e-6)


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
    client = open_client(str(tmp_path / "q"), None)
    report = tmp_path / "r.jsonl"
    result = await run(client, "faces", database, report)
    client.close()
    assert result.filled == 1
    assert result.refused == {
        "a second point of the face": 1,
        "no face_id": 2,
        "not of unit length": 2,
        "unknown face": 1,
        "another embedding": 1,
    }
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert {"id": str(stranger), "reason": "unknown face"} in lines and len(lines) == 7
    assert (result.coverage.total, result.coverage.embedded) == (3, 2)
    kept = await database.fetchval("SELECT embedding FROM faces WHERE id = $1", other)
    np.testing.assert_allclose(kept.to_numpy(), unit(50), atol=1e-6)


async def test_another_size_is_no_embedding(dsn: str, database: Database, tmp_path: Path) -> None:
    face = uuid4()
    add_faces(dsn, [face])
    make_collection(tmp_path / "q", [point(1, face, unit(1)[:128])], size=128)
    client = open_client(str(tmp_path / "q"), None)
    result = await run(client, "faces", database, tmp_path / "r.jsonl")
    client.close()
    assert result.refused == {"not 512 numbers": 1}


async def test_an_unknown_collection_is_an_error(database: Database, tmp_path: Path) -> None:
    make_collection(tmp_path / "q", [])
    client = open_client(str(tmp_path / "q"), None)
    with pytest.raises(QdrantError, match="nothing"):
        await run(client, "nothing", database, tmp_path / "r.jsonl")
    client.close()


async def test_a_report_that_cannot_be_written_is_an_error(database: Database, tmp_path: Path) -> None:
    make_collection(tmp_path / "q", [])
    client = open_client(str(tmp_path / "q"), None)
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await run(client, "faces", database, tmp_path / "q")
    client.close()


def test_the_command_ends_with_the_verification(dsn: str, tmp_path: Path) -> None:
    face = uuid4()
    add_faces(dsn, [face])
    make_collection(tmp_path / "q", [point(1, face, unit(1))])
    done = subprocess.run(
        [sys.executable, "-m", "batch.import_qdrant", str(tmp_path / "q")],
        env={"SEMBLANCE_DATABASE_URL": dsn, "SEMBLANCE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 (100.00 %)" in done.stdout
    assert done.stderr == ""
