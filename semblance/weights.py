"""The six factors by name, and their weights. `matching.scoring` computes them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from semblance.errors import BadInputError

FACTORS = ("embedding", "geometry", "age", "symmetry", "skin_tone", "expression")
"""The factors in the order of every array of factors or weights."""

WEIGHTS_TOLERANCE = 0.001


@dataclass(frozen=True, slots=True)
class Weights:
    """Weights of the six factors, each 0..1, with a sum of 1 ± .001. Raises BadInputError otherwise."""

    embedding: float = 0.20
    geometry: float = 0.20
    age: float = 0.15
    symmetry: float = 0.15
    skin_tone: float = 0.15
    expression: float = 0.15

    def __post_init__(self) -> None:
        values = self.as_tuple()
        if not all(isfinite(value) and 0 <= value <= 1 for value in values):
            raise BadInputError("Every weight lies between 0 and 1.")
        if abs(sum(values) - 1) > WEIGHTS_TOLERANCE + 1e-9:
            raise BadInputError(f"The six weights sum to 1 ± {WEIGHTS_TOLERANCE}, not to {sum(values):g}.")

    def as_tuple(self) -> tuple[float, ...]:
        """In the order of FACTORS."""
        return tuple(getattr(self, name) for name in FACTORS)

    def as_dict(self) -> dict[str, float]:
        """As `system_settings` and every stored match have them: rounded, because PostgreSQL refuses products
        of the smallest numbers."""
        return {name: round(getattr(self, name), 12) for name in FACTORS}
