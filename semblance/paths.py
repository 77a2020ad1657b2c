"""Paths that others state, as names to show and compare; no file is opened by them."""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST: Final = 1000
"""Characters; of longer paths the end counts."""


def relative_path(stated: str) -> str:
    """A path that a client or an archive states, relative: composed, with slashes, without parts that lead
    upwards, drive letters and control characters. It may be empty."""
    parts = stated.encode(errors="replace").decode().replace("\\", "/").split("/")
    kept = ["".join(filter(str.isprintable, part)).strip() for part in parts]
    path = "/".join(part for part in kept if part not in {"", ".", ".."} and not part.endswith(":"))
    return unicodedata.normalize("NFC", path)[-_LONGEST:].lstrip("/")
