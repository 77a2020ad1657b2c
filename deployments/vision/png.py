"""PNG files without what surrounds their pixels."""

from __future__ import annotations

import struct
from typing import Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_END: Final = b"\0\0\0\0IEND\xaeB`\x82"
"""The last chunk, which is always the same."""

_KEPT: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT"})
"""Chunks that say what the pixels are, and which way is up (PNG, third edition, section 11)."""

_EXIF_KEYWORDS: Final = (b"Raw profile type exif\0", b"Raw profile type APP1\0")
"""Text chunks in which ImageMagick and its like keep EXIF data, the orientation among them."""

_MOST_EXIF: Final = 64 * 1024
"""Bytes: EXIF data of a JPEG fits in one segment, which is no longer than this."""

_MOST_CHUNKS: Final = 100_000
"""Encoders write pixels in chunks of 8 KiB or more; hundreds of thousands only keep a parser busy."""


def without_metadata(data: bytes) -> bytes:
    """The file up to its last pixel, without profiles, texts and animation, which are not unpacked.

    Parsers refuse a PNG whose profile or text is larger than they care to unpack, and some unpack it.
    A file that lacks its end chunk is completed; one that is cut in a chunk stays cut. Raises SyntaxError
    beyond 100,000 chunks.
    """
    kept, place, seen_pixels = [SIGNATURE], len(SIGNATURE), False
    for _ in range(_MOST_CHUNKS):
        if place + 8 > len(data):
            return b"".join(kept) + (_END if seen_pixels and place == len(data) else data[place:])
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if kind == b"IEND" or (seen_pixels and kind != b"IDAT"):
            return b"".join(kept) + _END
        if end > len(data):
            return b"".join(kept) + data[place:]
        seen_pixels = kind == b"IDAT"
        if kind in _KEPT or _is_exif(kind, data[place + 8 : place + 40], length):
            kept.append(data[place:end])
        place = end
    raise SyntaxError("too many chunks")


def _is_exif(kind: bytes, start: bytes, length: int) -> bool:
    return kind in {b"tEXt", b"zTXt"} and length <= _MOST_EXIF and start.startswith(_EXIF_KEYWORDS)
