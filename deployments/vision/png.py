"""PNG files without what surrounds their pixels."""

from __future__ import annotations

import struct
import zlib
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

_MOST_PROFILE: Final = 1024 * 1024
"""Bytes of a colour profile, unpacked: more Pillow refuses. Cameras' and screens' have some hundred to some
thousand."""

_MOST_CHUNKS: Final = 100_000
"""Encoders write pixels in chunks of 8 KiB or more; hundreds of thousands only keep a parser busy."""


def without_metadata(data: bytes) -> bytes:
    """The file up to its last pixel, without texts, animation and large profiles, which are not unpacked.

    Parsers refuse a PNG whose profile or text is larger than they care to unpack, and some unpack it.
    A file that lacks its end chunk is completed; one that is cut in a chunk stays cut. Raises SyntaxError
    beyond 100,000 chunks.
    """
    kept, place, seen_pixels, seen_profile = [SIGNATURE], len(SIGNATURE), False, False
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
        elif kind == b"iCCP" and not seen_profile:
            # Only the first is looked at: to look takes as long as to unpack.
            seen_profile = True
            if _is_small_profile(data[place + 8 : end - 4]):
                kept.append(data[place:end])
        place = end
    raise SyntaxError("too many chunks")


def _is_exif(kind: bytes, start: bytes, length: int) -> bool:
    return kind in {b"tEXt", b"zTXt"} and length <= _MOST_EXIF and start.startswith(_EXIF_KEYWORDS)


def _is_small_profile(content: bytes) -> bool:
    _, _, packed = content.partition(b"\0")
    unpacking = zlib.decompressobj()
    try:
        # Before the packed bytes stands one for the method, of which there is only this.
        unpacking.decompress(packed[1:], _MOST_PROFILE)
    except zlib.error:
        return False
    return unpacking.eof
