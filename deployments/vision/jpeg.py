"""Decodes JPEGs that hold all their pixels, and refuses the others.

From an incomplete file libjpeg makes a coarse, colourless or half grey image, with a warning at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, cast

import simplejpeg

from deployments.vision.parsing import DAMAGED
from semblance.errors import UnreadableImageError
from semblance.types import Image

_SEQUENTIAL: Final = frozenset({0xC0, 0xC1, 0xC9})
_PROGRESSIVE: Final = frozenset({0xC2, 0xCA})
"""Frame markers, by the order of their coefficients (ITU-T T.81, table B.1)."""

_SCAN: Final = 0xDA
_END: Final = 0xD9

_END_MARK: Final = bytes([0xFF, _END])

_INCOMPLETE: Final = ("premature end of data segment", "instead of RST")
"""Parts of libjpeg's warnings (jerror.h) about missing pixels: the coded data ends, or continues after a
gap."""

_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
"""Within coded data, 0xFF is followed by 0 or by a restart marker (T.81, F.1.2.3). Those and TEM, 0x01, stand
alone: no length follows (B.1.1.3)."""

_MOST_SEGMENTS: Final = 10_000
"""Encoders write a few tables and at most a few hundred scans. Millions of segments only keep a parser
busy."""


def decode_whole(data: bytes, colours: Literal["RGB", "CMYK"], width: int, height: int) -> Image:
    """Decode a JPEG at the smallest of 1/1, 1/2, 1/4 and 1/8 that has width x height pixels or more.

    Args:
        colours: RGB for a colour or grey photo; CMYK for a photo in four inks, in any coding.

    Returns uint8 [height, width, 3 or 4]. Raises UnreadableImageError if pixels are missing, however the file
    ends.
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
    # Some cameras and programs write odd files with all their pixels. Where pixels are missing, the decoder
    # fills the rest with grey. A file that lacks only its end mark is complete.
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

    Reads only the headers it needs. The decoder tells whether a scan is complete. True for frames that are
    neither sequential nor progressive; False after 10,000 segments.
    """
    missing: dict[int, set[int]] = {}
    sequential, count = True, 0
    for marker, segment in _segments(data):
        count += 1
        if marker in _SEQUENTIAL | _PROGRESSIVE:
            sequential = marker in _SEQUENTIAL
            missing = {component: set(range(64)) for component in segment[6::3]}
        elif marker == _SCAN and len(segment) >= 4:
            first, last, bits = (0, 63, 0) if sequential else segment[-3:]
            for component in segment[1:-3:2] if bits & 15 == 0 else ():
                missing.get(component, set()).difference_update(range(first, last + 1))
            if not any(missing.values()):
                return True
    return count < _MOST_SEGMENTS and not any(missing.values())


def number_of_scans(data: bytes) -> int:
    """How many scans the decoder goes through: one if the first has all components of a sequential frame. At
    least `_MOST_SEGMENTS` for a file of more segments."""
    components, sequential, segments, scans = 0, False, 0, 0
    for marker, segment in _segments(data):
        segments += 1
        if marker in _SEQUENTIAL | _PROGRESSIVE:
            sequential = marker in _SEQUENTIAL
            components = len(segment[6::3])
        elif marker == _SCAN:
            scans += 1
            if sequential and segment[:1] == bytes([components]):
                return 1
    return segments if segments >= _MOST_SEGMENTS else scans


def is_progressive(data: bytes) -> bool:
    """Whether every size of a JPEG takes about as long to decode as the full one, because each scan refines
    the whole photo."""
    frames = (marker for marker, _ in _segments(data) if marker in _SEQUENTIAL | _PROGRESSIVE)
    return next(frames, None) in _PROGRESSIVE


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Markers and contents of a JPEG's segments before the end mark, at most 10,000."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        match = _NEXT_MARKER.search(data, place)
        if match is None or data[match.start() + 1] == _END:
            return
        start = match.end()
        length = int.from_bytes(data[start : start + 2], "big")
        yield data[match.start() + 1], data[start + 2 : start + length]
        place = start + length
