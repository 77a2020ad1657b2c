"""Rows for the tests: people with made-up faces."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np
import psycopg

from db.celebrities import CelebrityRow
from semblance.types import EMOTIONS, Embedding, Gender

DIGEST = "a" * 64
OTHER_DIGEST = "b" * 64

_NAMESPACE = UUID("5b0a2f7e-4f1c-4b53-9f39-7f8f6c9a0a11")


def embeddings(count: int, seed: int = 0) -> list[Embedding]:
    """Unit vectors that vary mainly in 24 directions (faces do in some tens), and a little in all."""
    random = np.random.default_rng(seed)
    directions = np.random.default_rng(1).normal(size=(24, 512))
    vectors = random.normal(size=(count, 24)) @ directions + random.normal(size=(count, 512))
    return list((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def celebrity(
    number: int,
    embedding: Embedding,
    *,
    category: str | None = "actors",
    gender: Gender | None = "female",
    seen_gender: Gender | None = None,
    pack_digest: str = DIGEST,
) -> CelebrityRow:
    """The celebrity of that number; the same number is the same picture."""
    image_hash = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    return CelebrityRow(
        id=uuid5(_NAMESPACE, image_hash),
        name=f"Celebrity {number}",
        bio=None,
        category=category,
        gender=gender,
        seen_gender=seen_gender,
        image_path=f"celebrities/{image_hash}.jpg",
        image_hash=image_hash,
        embedding=embedding,
        pack_digest=pack_digest,
        age=33,
        quality_score=0.9,
        blur_score=0.8,
        illumination_score=1.0,
        symmetry_score=0.75,
        landmarks_68=[[float(x), 0.25 * x + 0.01] for x in range(68)],
        pose={"yaw": -3.25, "pitch": 4.5, "roll": 0.0},
        geometry_ratios={
            "face_width_height_ratio": 0.75,
            "eye_spacing_face_width": 0.42,
            "jawline_width_face_width": 0.68,
            "nose_width_face_width": 0.25,
        },
        skin_tone_lab=[65.0, 10.5, 20.25],
        expression="happy",
        expression_confidence=0.94,
        emotion_scores={emotion: 0.94 if emotion == "happy" else 0.01 for emotion in EMOTIONS},
        analyzed_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


def gallery(count: int, *, seed: int = 0) -> list[CelebrityRow]:
    """Celebrities 0..count-1 of two genders; each twentieth is a musician, number 7 and 11 are rare."""
    return [
        replace(
            celebrity(number, embedding, gender="male" if number % 2 else "female"),
            category="rare" if number in {7, 11} else "musicians" if number % 20 == 0 else "actors",
        )
        for number, embedding in enumerate(embeddings(count, seed))
    ]


def add_profile(connection: psycopg.Connection, **columns: object) -> UUID:
    """Insert a user; returns the id."""
    columns = {"profile_type": "user", **columns}
    names = ", ".join(["id", *columns])
    values = ", ".join(["gen_random_uuid()", *(f"%({name})s" for name in columns)])
    return _id(connection, f"INSERT INTO profiles ({names}) VALUES ({values}) RETURNING id", columns)


def add_face(connection: psycopg.Connection, profile_id: UUID, **columns: object) -> UUID:
    """Insert a face, by default without an embedding; returns the id."""
    columns = {"profile_id": profile_id, "image_path": "faces/x.jpg", **columns}
    names = ", ".join(columns)
    values = ", ".join(f"%({name})s" for name in columns)
    return _id(connection, f"INSERT INTO faces ({names}) VALUES ({values}) RETURNING id", columns)


def add_match(connection: psycopg.Connection, face: UUID, other: UUID) -> UUID:
    """Insert a match of two faces; returns the id."""
    pair: dict[str, object] = {"a": min(face, other), "b": max(face, other)}
    query = (
        "INSERT INTO matches (face_a_id, face_b_id, similarity_score) VALUES (%(a)s, %(b)s, .5) RETURNING id"
    )
    return _id(connection, query, pair)


def _id(connection: psycopg.Connection, query: str, values: dict[str, object]) -> UUID:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found
