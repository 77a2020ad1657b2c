"""Where the real photos for tests lie; they are not part of the repository."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from semblance.types import DetectedFace


def faces_dir() -> Path:
    """Folder with `celebrities`, `probes` and `hard`: `SEMBLANCE_TEST_FACES`, else ../shared/faces."""
    default = Path(__file__).resolve().parents[3] / "shared" / "faces"
    folder = Path(os.environ.get("SEMBLANCE_TEST_FACES", default))
    if not (folder / "celebrities").is_dir():
        raise FileNotFoundError(f"no test photos in {folder}: set SEMBLANCE_TEST_FACES to their folder")
    return folder


FindFaces = Callable[[str], tuple[DetectedFace, ...]]
"""Faces of the photo at a path below the photo folder, largest first."""


def portraits() -> list[str]:
    """Paths of the photos of people who sat for them: the gallery and the probes."""
    root = faces_dir()
    kinds = {".jpg", ".jpeg", ".png"}
    files = [p for folder in ("celebrities", "probes") for p in (root / folder).rglob("*")]
    return sorted(str(p.relative_to(root)) for p in files if p.suffix in kinds)
