"""Strips PNG files of everything but their pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""The last chunk. It is always the same."""

_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT"})
"""Chunks that say what the pixels are, and which way is up (PNG, third edition, section 11)."""

_OF_PIXELS: Final = frozenset({b"IHDR", b"tRNS"})
"""Chunks before the pixels without which a colour picture looks different."""

_EXIF_KEYWORDS: Final = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Text chunks in which ImageMagick and similar tools keep EXIF data, including the orientation."""

_MOST_EXIF: Final = 64 * 1024
"""In bytes. The EXIF data of a JPEG fits in one segment, which cannot be longer."""

_MOST_PROFILE: Final = 1024 * 1024
"""In bytes, unpacked. Pillow refuses larger colour profiles. Those of cameras and screens have a few hundred
to a few thousand bytes."""

_MOST_CHUNKS: Final = 100_000
"""Encoders write pixels in chunks of 8 KiB or more. Hundreds of thousands of chunks only keep a parser
busy."""


def without_metadata(data: bytes) -> bytes:
    """Return the file up to its last pixel, without texts, animation and large profiles. None of them is
    unpacked.

    Some parsers refuse a PNG with a large profile or text; others unpack it.
    A file without its end chunk is completed. A file that ends within a chunk stays cut. A file that has
    nothing to leave out is not copied. Raises SyntaxError beyond 100,000 chunks.
    """
    # Parts of the file, as places of their first byte and of the one after their last.
    kept, place, seen_pixels, seen_profile = [(0, len(SIGNATURE))], len(SIGNATURE), False, False
    for _ in range(_MOST_CHUNKS):
        if place + 8 > len(data):
            if seen_pixels and place == len(data):
                return _joined(data, kept) + _END
            return _joined(data, [*kept, (place, len(data))])
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if data.endswith(_END, place) and end == len(data):
            return _joined(data, [*kept, (place, end)])
        if kind == b"IEND" or (seen_pixels and kind != b"IDAT"):
            return _joined(data, kept) + _END
        if end > len(data):
            return _joined(data, [*kept, (place, len(data))])
        seen_pixels = kind == b"IDAT"
        if kind in _KEPT or _is_exif(kind, data[place + 8 : place + 40], length):
            kept.append((place, end))
        elif kind == b"iCCP" and not seen_profile:
            # Only the first profile is checked: checking takes as long as unpacking.
            seen_profile = True
            if _is_small_profile(data[place + 8 : end - 4]):
                kept.append((place, end))
        place = end
    raise SyntaxError("too many chunks")


def without_profiles(data: bytes) -> bytes:
    """Return a colour picture from `without_metadata` without EXIF data and colour profile, too."""
    kept, place = [(0, len(SIGNATURE))], len(SIGNATURE)
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            break
        end = min(place + 12 + length, len(data))
        if kind in _OF_PIXELS:
            kept.append((place, end))
        place = end
    return _joined(data, [*kept, (place, len(data))])


def _joined(data: bytes, parts: Sequence[tuple[int, int]]) -> bytes:
    if sum(end - start for start, end in parts) == len(data):
        return data
    whole = memoryview(data)
    return b"".join([whole[start:end] for start, end in parts])


def _is_exif(kind: bytes, start: bytes, length: int) -> bool:
    return kind in {b"tEXt", b"zTXt"} and length <= _MOST_EXIF and start.startswith(_EXIF_KEYWORDS)


def _is_small_profile(content: bytes) -> bool:
    _, _, packed = content.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        # The packed bytes follow one byte for the compression method. Only one method exists.
        unpacking.decompress(packed[1:], _MOST_PROFILE)
    except zlib.error:
        return False
    return unpacking.eof
