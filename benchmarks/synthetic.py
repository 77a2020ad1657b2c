"""Made-up embeddings that lie as those of faces do: several pictures about each identity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = 128
"""Dimensions in which identities differ; a face net does not use all 512 alike."""

SAME = 0.65
"""Mean cosine of two pictures of one identity, about what ArcFace nets give; of two identities it is 0."""


def embeddings(count: int, seed: int, *, per_identity: int = 5, dimensions: int = 512) -> NDArray[np.float32]:
    """Unit vectors, float32 [count, 512], `per_identity` pictures of each identity in random order.
    `dimensions` of them are not zero.

    The identities are the same for every seed, the pictures are not: what one call makes are probes for the
    gallery that another makes.
    """
    people = -(-count // per_identity)
    basis = np.random.default_rng(1).standard_normal((DIRECTIONS, 512), dtype=np.float32)
    centres = np.random.default_rng(2).standard_normal((people, DIRECTIONS), dtype=np.float32) @ basis
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    random = np.random.default_rng(seed)
    who = random.permutation(np.repeat(np.arange(people), per_identity)[:count])
    noise = random.standard_normal((count, DIRECTIONS), dtype=np.float32) @ basis
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    vectors = np.sqrt(SAME) * centres[who] + np.sqrt(1 - SAME) * noise
    vectors[:, dimensions:] = 0
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32, copy=False)
