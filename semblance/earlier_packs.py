"""Names of packs that shipped with earlier versions. Databases may still hold their embeddings."""

from __future__ import annotations

from typing import Final

EARLIER: Final = {
    "eadae64680fde8b46d8aff20345470bf58c22e60897e06de119fba9cd0e3fba1": "open 1.0.0",
    "9a22e95bac4ea67363afc423f149a5aa472b826b84b292c80d0b4a1dbc673ec4": "open 2.0.0",
    "028d9e500b86c407b63d56937ff81d4fb2df5323d2355a79478a769bf5b1b776": "open 2.0.1",
}
"""Name and version by digest."""


def pack_title(digest: str) -> str:
    """How a sentence names a pack: by its digest, with name and version if an earlier release shipped it."""
    return f"{EARLIER[digest]} ({digest})" if digest in EARLIER else digest
