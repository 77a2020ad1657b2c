"""The celebrities most similar to a face, and why: the factors and the score of a match with each of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from db.analyzed import AnalyzedRow
from db.celebrities import CelebrityHit
from matching.celebrity_search import CelebritySearch
from matching.scoring import factors, score
from matching.traits import COLUMNS, Traits
from semblance.metrics import SEARCH_SECONDS
from semblance.tracing import span
from semblance.types import AnalyzedFace, Gender
from semblance.weights import FACTORS, Weights


@dataclass(frozen=True, slots=True)
class LookalikeTerms:
    """What is searched for: up to `limit` celebrities, 1..1000, with embeddings of the pack, that pass the
    filters; None passes all."""

    pack_digest: str
    limit: int
    category: str | None
    gender: Gender | None


@dataclass(frozen=True, slots=True, eq=False)
class Lookalike:
    """A celebrity found for a face. score: of a match, 0..1. factors: each 0..1, by name."""

    hit: CelebrityHit
    score: float
    factors: dict[str, float]


async def find_lookalikes(
    search: CelebritySearch, face: AnalyzedFace, terms: LookalikeTerms, weights: Weights
) -> list[Lookalike]:
    """The celebrities most similar to a face, best first by similarity, with the score that a match would
    have. Raises as `CelebritySearch.nearest`."""
    with span("search lookalikes"), SEARCH_SECONDS.timed(kind="lookalikes"):
        hits = await search.nearest(face.embedding, **asdict(terms))
    if not hits:
        return []
    probe = AnalyzedRow.of(face, terms.pack_digest)
    compared: NDArray[np.float64] = factors(
        Traits.of([{name: getattr(probe, name) for name in COLUMNS}]),
        Traits.of([hit.traits for hit in hits]),
    )
    scores = score(compared, weights)
    return [
        Lookalike(
            hit=hit,
            score=float(scores[place]),
            factors=dict(zip(FACTORS, map(float, compared[:, place]), strict=True)),
        )
        for place, hit in enumerate(hits)
    ]
