"""Hundreds of matches with factors, for tests of changed rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from db.pool import Database
from matching.scoring import score
from semblance.weights import FACTORS, Weights

Factors = NDArray[np.float64]
"""[N, 6], in the order of FACTORS."""

_KEYS = {"matches": ("face_a_id", "face_b_id"), "celebrity_matches": ("face_id", "celebrity_id")}
_SCORE = ("similarity_score", *(f"factor_{name}" for name in FACTORS), "weights")

EXACT = Weights(0.25, 0.25, 0.125, 0.125, 0.125, 0.125)
OTHER_EXACT = Weights(0.5, 0.0, 0.125, 0.125, 0.25, 0.0)
"""Weights whose products with `coarse` factors are exact, in any order of addition."""


def coarse(count: int, seed: int = 0) -> Factors:
    """Factors 0, ¼, ½, ¾ and 1: many scores are the same, and many are the threshold itself."""
    return np.random.default_rng(seed).integers(0, 5, (count, 6)) / 4


def fine(count: int, seed: int = 0) -> Factors:
    """Factors that give different scores."""
    return np.random.default_rng(seed).uniform(0, 1, (count, 6))


async def add_faces(database: Database, count: int) -> list[UUID]:
    """Users, each with a face; returns the ids of the faces, in order."""
    rows = await database.fetch(
        """
        WITH users AS (
            INSERT INTO profiles (id, profile_type, name)
            SELECT gen_random_uuid(), 'user', 'User ' || number FROM generate_series(1, $1) AS number
            RETURNING id
        )
        INSERT INTO faces (profile_id, image_path) SELECT id, 'faces/x.jpg' FROM users RETURNING id
        """,
        count,
    )
    return sorted(row["id"] for row in rows)


async def add_stars(database: Database, count: int) -> list[UUID]:
    """Celebrities; returns their ids, in order."""
    rows = await database.fetch(
        """
        INSERT INTO celebrities (name, image_path)
        SELECT 'Star ' || number, 'celebrities/x.jpg' FROM generate_series(1, $1) AS number
        RETURNING id
        """,
        count,
    )
    return sorted(row["id"] for row in rows)


async def add_matches(
    database: Database,
    pairs: Sequence[tuple[UUID, UUID]],
    factors: Factors,
    weights: Weights,
    *,
    table: str = "matches",
) -> None:
    """Matches of pairs of faces, or of faces and celebrities, scored by the weights."""
    rows = zip(pairs, score(factors.T, weights).tolist(), factors.tolist(), strict=True)
    async with database.transaction() as connection:
        await connection.copy_records_to_table(
            table,
            columns=(*_KEYS[table], *_SCORE),
            records=[(*pair, found, *values, weights.as_dict()) for pair, found, values in rows],
        )


async def add_old(database: Database, table: str, pairs: Sequence[tuple[UUID, UUID]]) -> None:
    """Rows of the old app, which kept no factors."""
    async with database.transaction() as connection:
        await connection.copy_records_to_table(
            table, columns=(*_KEYS[table], "similarity_score"), records=[(*pair, 0.9) for pair in pairs]
        )


async def set_rules(database: Database, weights: Weights, threshold: float) -> None:
    """Change the rules, as an admin does."""
    for key, value in (("matching_weights", weights.as_dict()), ("match_threshold", threshold)):
        await database.execute("UPDATE system_settings SET value = $2 WHERE key = $1", key, value)


async def tables(database: Database) -> list[Any]:
    """All matches, and the time of their last change."""
    return [
        tuple(row)
        for table in ("matches", "celebrity_matches")
        for row in await database.fetch(f"SELECT *, xmin::text FROM {table} ORDER BY id")
    ]


async def scores(database: Database) -> list[Any]:
    """The content of all matches without their ids."""
    return [
        tuple(row)
        for table, keys in _KEYS.items()
        for row in await database.fetch(f"SELECT {', '.join((*keys, *_SCORE))} FROM {table} ORDER BY 1, 2")
    ]
