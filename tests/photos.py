"""Where the real photos for tests lie; they are not part of the repository."""

from __future__ import annotations

import os
from pathlib import Path


def faces_dir() -> Path:
    """Folder with `celebrities`, `probes` and `hard`: `SEMBLANCE_TEST_FACES`, else ../shared/faces."""
    default = Path(__file__).resolve().parents[2] / "shared" / "faces"
    folder = Path(os.environ.get("SEMBLANCE_TEST_FACES", default))
    if not (folder / "celebrities").is_dir():
        raise FileNotFoundError(f"no test photos in {folder}: set SEMBLANCE_TEST_FACES to their folder")
    return folder
