"""JPEGs that hold all their pixels. Of others libjpeg makes a coarse, colourless or half grey picture, and
no more than a warning, if that."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

import simplejpeg

from deployments.vision.parsing import DAMAGED
from semblance.errors import UnreadableImageError
from semblance.types import Image

_SEQUENTIAL: Final = frozenset({0xC0, 0xC1, 0xC9})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
"""Markers of frames by how their coefficients come (ITU-T T.81, table B.1)."""

_SCAN: Final = 0xDA
_END: Final = 0xD9

_END_MARK: Final = bytes([0xFF, _END])

_INCOMPLETE: Final = ("premature end of data segment", "instead of RST")
"""In libjpeg's warnings (jerror.h) where pixels are missing: the coded data ends, or goes on behind a gap."""

_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
"""Within coded data 0xFF is followed by 0, or by a restart marker (T.81, F.1.2.3)."""

_MOST_SEGMENTS: Final = 10_000
"""Encoders write some tables and at most some hundred scans; millions of segments only keep a parser busy."""


def decode_whole(data: bytes, colours: Literal["RGB", "CMYK"], width: int, height: int) -> Image:
    """Decode a JPEG at the smallest of 1/1, 1/2, 1/4 and 1/8 that has width x height pixels or more.

    colours: RGB for a picture in colour or grey; CMYK for one of four inks, whatever its coding.

    Returns uint8 [height, width, 3 or 4]. Raises UnreadableImageError where pixels are missing, however the
    file ends.
    """
    if not has_all_scans(data):
        raise UnreadableImageError(DAMAGED)

    def decode(file: bytes, strict: bool = True) -> Image:
        pixels = simplejpeg.decode_jpeg(file, colours, min_height=height, min_width=width, strict=strict)
        return cast(Image, pixels)

    try:
        return decode(data)
    except ValueError as error:
        warning = str(error)
    if "nsufficient memory" in warning:
        raise MemoryError(warning)
    # Cameras and programs write odd files whose pixels are all there. Those of others are not, and the
    # decoder fills the rest with grey; where a file lacks no more than its end mark, all are there.
    if any(sign in warning for sign in _INCOMPLETE):
        raise UnreadableImageError(DAMAGED)
    try:
        if "Premature end of JPEG file" in warning:
            return decode(data + _END_MARK)
        return decode(data, strict=False)
    except ValueError as error:
        raise UnreadableImageError(DAMAGED) from error


def has_all_scans(data: bytes) -> bool:
    """Whether the scans of a JPEG define every coefficient of every component to its last bit.

    Only the headers are read, as far as they are needed; whether a scan is complete the decoder tells. True
    for frames that are neither sequential nor progressive, False where 10,000 segments do not suffice.
    """
    missing: dict[int, set[int]] = {}
    sequential, place = True, 2
    for _ in range(_MOST_SEGMENTS):
        match = _NEXT_MARKER.search(data, place)
        if match is None:
            break
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
    else:
        return False
    return not any(missing.values())
