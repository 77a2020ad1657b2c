"""Faces of the real photos, cut once for all tests by the detector with the pack that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from deployments.faces.finder import FaceFinder
from deployments.packs.registry import load_pack
from semblance.settings import Settings
from semblance.types import DetectedFace
from tests.support.photos import FindFaces


@pytest.fixture(scope="session")
def find_faces() -> FindFaces:
    """Faces of a photo, largest first."""
    settings = Settings()
    finder = FaceFinder(load_pack(settings), settings)
    known: dict[Path, tuple[DetectedFace, ...]] = {}

    def find(path: Path) -> tuple[DetectedFace, ...]:
        if path not in known:
            known[path] = finder.detect(path.read_bytes()).faces
        return known[path]

    return find
