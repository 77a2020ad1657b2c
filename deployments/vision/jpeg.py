"""Whether a JPEG holds all its scans. Of some libjpeg makes a coarse or colourless picture without a word."""

from __future__ import annotations

import re
from typing import Final

_SEQUENTIAL: Final = frozenset({0xC0, 0xC1, 0xC9})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
"""Markers of frames by how their coefficients come (ITU-T T.81, table B.1)."""

_SCAN: Final = 0xDA
_END: Final = 0xD9

_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Within coded data 0xFF is followed by 0, or by a restart marker (T.81, F.1.2.3)."""


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a JPEG define every coefficient of every component to its last bit.

    Only the headers are read, as far as they are needed; whether a scan is complete the decoder tells. True
    for frames that are neither sequential nor progressive.
    """
    missing: dict[int, set[int]] = {}
    sequential, place = True, 2
    while match := _NEXT_MARKER.search(data, place):
        marker, start = data[match.start() + 1], match.end()
        length = int.from_bytes(data[start : start + 2], "big")
        segment = data[start + 2 : start + length]
        if marker == _END:
            break
        if marker in _SEQUENTIAL | _PROGRESSIVE:
            sequential = marker in _SEQUENTIAL
            missing = {component: set(range(64)) for component in segment[6::3]}
        elif marker == _SCAN and len(segment) >= 4:
            first, last, bits = (0, 63, 0) if sequential else segment[-3:]
            for component in segment[1:-3:2] if bits & 15 == 0 else ():
                missing.get(component, set()).difference_update(range(first, last + 1))
            if not any(missing.values()):
                return True
        place = start + length
    return not any(missing.values())
