"""In place of models where a test must not need them."""

from __future__ import annotations

from semblance.types import DescribedFace, Detection


class NoModels:
    """Faces here are described already."""

    async def describe(
        self, data: bytes, max_faces: int | None = None
    ) -> tuple[Detection, list[DescribedFace]]:
        raise AssertionError("nothing is to be described")
