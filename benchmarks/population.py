"""Made-up faces with all that counts for a match, some pictures of each identity, as rows of the tables."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from matching.scoring import MIN_QUALITY
from matching.traits import DEFAULT_RATIOS, RATIOS
from semblance.types import EMOTIONS

DIGEST = "c" * 64
"""Of the model pack that the embeddings are of."""

PICTURES = 5
"""Of one identity."""

COLUMNS = (
    "id", "name", "category", "gender", "image_path", "image_hash", "embedding", "pack_digest", "age",
    "quality_score", "symmetry_score", "geometry_ratios", "skin_tone_lab", "expression",
)  # fmt: skip
"""Of the table of celebrities; that of faces has them too, but for name and category."""


def people(
    random: np.random.Generator, count: int, start: int, dimensions: int = 512
) -> list[dict[str, Any]]:
    """Rows of `count` pictures, PICTURES of each identity: cosines of .6 within one, of 0 between two.

    Args:
        dimensions: Those of embeddings that are not zero.
    """
    owner = np.arange(count) // PICTURES
    identities = int(owner[-1]) + 1
    centres = unit_vectors(random.normal(size=(identities, dimensions)))
    noise = unit_vectors(random.normal(size=(count, dimensions)))
    vectors = np.zeros((count, 512), np.float32)
    vectors[:, :dimensions] = unit_vectors(centres[owner] + 0.8 * noise)
    ages = random.integers(18, 80, identities)[owner] + random.integers(-2, 3, count)
    male = (random.random(identities) < 0.5)[owner]
    skin = random.uniform([30, 0, 5], [90, 25, 35], (identities, 3))[owner] + random.normal(size=(count, 3))
    ratios = random.normal(DEFAULT_RATIOS, 0.05, (count, 4))
    return [
        {
            "id": uuid4(),
            "name": f"Celebrity {start // PICTURES + int(owner[number])}",
            "category": ("actors", "athletes", "musicians")[int(owner[number]) % 3],
            "gender": "male" if male[number] else "female",
            "image_path": f"celebrities/{start + number}.jpg",
            "image_hash": f"{start + number:032x}",
            "embedding": vectors[number],
            "pack_digest": DIGEST,
            "age": int(ages[number]),
            "quality_score": float(random.uniform(MIN_QUALITY - 0.1, 1)),
            "symmetry_score": float(random.uniform(0.5, 1)),
            "geometry_ratios": dict(zip(RATIOS, map(float, ratios[number]), strict=True)),
            "skin_tone_lab": [float(value) for value in skin[number]],
            "expression": EMOTIONS[int(random.integers(len(EMOTIONS)))],
        }
        for number in range(count)
    ]


def unit_vectors(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vectors at length 1."""
    units: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units
