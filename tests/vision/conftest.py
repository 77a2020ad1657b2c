"""Faces of the real photos, cut once for all tests by the detector with the pack that ships."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deployments.detector import FaceFinder
from deployments.packs.registry import load_pack
from semblance.settings import Settings
from semblance.types import DetectedFace
from tests.photos import faces_dir

FindFaces = Callable[[str], tuple[DetectedFace, ...]]


@pytest.fixture(scope="session")
def find_faces() -> FindFaces:
    """Faces of the photo at a path below the photo folder, largest first."""
    settings = Settings()
    finder = FaceFinder(load_pack(settings), settings)
    known: dict[str, tuple[DetectedFace, ...]] = {}

    def find(path: str) -> tuple[DetectedFace, ...]:
        if path not in known:
            known[path] = finder.detect((faces_dir() / path).read_bytes()).faces
        return known[path]

    return find


def portraits() -> list[str]:
    """Paths of the photos of people who sat for them: the gallery and the probes."""
    root = faces_dir()
    kinds = {".jpg", ".jpeg", ".png"}
    files = [p for folder in ("celebrities", "probes") for p in (root / folder).rglob("*")]
    return sorted(str(p.relative_to(root)) for p in files if p.suffix in kinds)
