"""What the packs are called that shipped with earlier versions, and whose embeddings databases still hold."""

from __future__ import annotations

from typing import Final

EARLIER: Final = {"eadae64680fde8b46d8aff20345470bf58c22e60897e06de119fba9cd0e3fba1": "open 1.0.0"}
"""Name and version by digest."""


def pack_title(digest: str) -> str:
    """A pack for a sentence: its digest, with its name and version where it shipped earlier."""
    return f"{EARLIER[digest]} ({digest})" if digest in EARLIER else digest
