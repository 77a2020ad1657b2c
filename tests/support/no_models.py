"""In place of models where a test must not need them."""

from __future__ import annotations

from semblance.types import AnalyzedFace, Detection


class NoModels:
    """Faces here are described already."""

    async def analyze_photo(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[AnalyzedFace]]:
        raise AssertionError("nothing is to be described")
