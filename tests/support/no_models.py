"""A stand-in for models in tests that must not need them."""

from __future__ import annotations

from semblance.types import AnalyzedFace, Detection


class NoModels:
    """Faces here are already analyzed."""

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        raise AssertionError("nothing is to be described")
