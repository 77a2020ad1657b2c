"""Users, faces, celebrities and match jobs as rows, for tests of matching."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np

from db.celebrities import Celebrities, CelebrityRow
from db.pool import Database
from semblance.types import Embedding
from tests.support.rows import DIGEST, celebrity, embeddings

ALIKE = embeddings(1, seed=11)[0]
"""The embedding of faces that are otherwise equal."""

_COLUMNS = {
    "pack_digest": DIGEST,
    "age": 30,
    "quality_score": 0.9,
    "symmetry_score": 0.8,
    "skin_tone_lab": [65.0, 10.0, 20.0],
    "geometry_ratios": {
        "face_width_height_ratio": 0.75,
        "eye_spacing_face_width": 0.42,
        "jawline_width_face_width": 0.68,
        "nose_width_face_width": 0.25,
    },
    "expression": "happy",
    "embedding": ALIKE,
}


async def add_user(database: Database, **columns: object) -> UUID:
    """Insert a profile, by default a woman at mit; returns its id."""
    return await _insert(
        database,
        "profiles",
        {"id": uuid4(), "profile_type": "user", "gender": "female", "school": "mit", **columns},
    )


async def add_face(database: Database, user: UUID, **columns: object) -> UUID:
    """Insert an analyzed face, and with it its match job; returns its id."""
    return await _insert(
        database,
        "faces",
        {"id": uuid4(), "profile_id": user, "image_path": "faces/x.jpg", **_COLUMNS, **columns},
    )


async def add_person(database: Database, *, face: dict[str, object] | None = None, **columns: object) -> UUID:
    """A user with one face; returns the face's id."""
    return await add_face(database, await add_user(database, **columns), **(face or {}))


def famous(number: int, embedding: Embedding = ALIKE, **columns: Any) -> CelebrityRow:
    """A celebrity, by default a man of maximal similarity."""
    row = celebrity(number, embedding, gender="male")
    return replace(row, **{"age": 30, "symmetry_score": 0.8, "skin_tone_lab": [65.0, 10.0, 20.0], **columns})


async def add_celebrities(database: Database, *rows: CelebrityRow) -> list[UUID]:
    """Insert celebrities; returns their ids."""
    await Celebrities(database).copy_in(rows)
    return [row.id for row in rows]


def varied(count: int, seed: int = 0) -> list[CelebrityRow]:
    """Celebrities who differ in all factors."""
    random = np.random.default_rng(seed)
    emotions = ("happy", "neutral", "sad", "angry", "surprise", "fear", "disgust")
    return [
        famous(
            number,
            embedding,
            gender="male" if random.random() < 0.5 else "female",
            age=int(random.integers(18, 80)),
            quality_score=float(random.uniform(0.4, 1)),
            symmetry_score=float(random.uniform(0.4, 1)),
            skin_tone_lab=[float(value) for value in random.uniform([30, 0, 5], [90, 25, 35])],
            geometry_ratios={
                name: float(random.normal(mean, 0.05))
                for name, mean in zip(_COLUMNS["geometry_ratios"], (0.75, 0.42, 0.68, 0.25), strict=True)  # type: ignore[call-overload]
            },
            expression=emotions[random.integers(7)],
            category="actors" if random.random() < 0.5 else "athletes",
        )
        for number, embedding in enumerate(embeddings(count, seed))
    ]


async def _insert(database: Database, table: str, columns: dict[str, object]) -> UUID:
    names, values = ", ".join(columns), ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    found: UUID = await database.fetchval(
        f"INSERT INTO {table} ({names}) VALUES ({values}) RETURNING id", *columns.values()
    )
    return found
