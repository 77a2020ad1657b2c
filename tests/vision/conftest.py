"""Faces of the real photos, cut once for all tests by the detector with the pack that ships."""

from __future__ import annotations

import pytest

from deployments.detector import FaceFinder
from deployments.packs.registry import load_pack
from semblance.settings import Settings
from semblance.types import DetectedFace
from tests.support.photos import FindFaces, faces_dir


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
