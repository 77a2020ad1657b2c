"""What a similarity means, in answers."""

from __future__ import annotations

from pydantic import Field

from deployments.packs.calibration import SimilarityScale
from serve_app.schemas.base import Schema


class Rarity(Schema):
    """How rare this similarity is among strangers: at most 1 in `one_in` of them is as alike. It is measured
    on pairs of strangers chosen at random; the best of a large gallery is always rare."""

    one_in: int = Field(
        ge=1,
        description="At most one in this many strangers is as alike; 1 if it is not rare.",
        examples=[10],
    )
    most: int = Field(
        ge=1,
        description="The largest number that the pack's calibration supports. If `one_in` reaches it, the "
        "similarity may be rarer.",
        examples=[10],
    )

    @classmethod
    def of(cls, scale: SimilarityScale, similarity: float | None, pack_digest: str | None) -> Rarity | None:
        """None if the similarity is unknown or of another pack, or if the pack has no calibration."""
        values = cls.values(scale, similarity, pack_digest)
        return None if values is None else cls(**values)

    @staticmethod
    def values(
        scale: SimilarityScale, similarity: float | None, pack_digest: str | None
    ) -> dict[str, int] | None:
        """As `of`."""
        if similarity is None or scale.calibration is None or pack_digest != scale.digest:
            return None
        return {"one_in": scale.calibration.one_in(similarity), "most": scale.calibration.most}
