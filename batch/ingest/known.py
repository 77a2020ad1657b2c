"""Which pictures the database has already."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class KnownHashes:
    """MD5 hashes of pictures, 32 bytes each, in an array that the workers of a node share."""

    def __init__(self, hashes: Iterable[str]) -> None:
        """hashes: 32 hex digits each."""
        self._sorted = np.array(sorted(hashes), dtype="S32")

    def __len__(self) -> int:
        return len(self._sorted)

    def __contains__(self, image_hash: str) -> bool:
        key = np.bytes_(image_hash.encode())
        place = int(np.searchsorted(self._sorted, key))
        return place < len(self._sorted) and bool(self._sorted[place] == key)
