"""Makes the header of a lossless WebP short."""

from __future__ import annotations

import struct
from typing import Final

_CHUNKS: Final = 12
"""Where the chunks of a file begin: after RIFF, its length and WEBP (RFC 9649, section 2.4)."""

_MOST_CHUNKS: Final = 100
"""Of a still picture, a file has about six. Beyond this it stays as it is."""

_KEPT: Final = 32
"""Bytes of a lossless picture that are kept. Its size is in the first five (RFC 9649, section 3.4)."""


def without_pixels(data: bytes) -> bytes:
    """Return a still, lossless WebP with all its metadata and nearly no pixels, any other file as it is.

    The parser copies what it opens, and a lossless picture has many megabytes.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return data
    # What follows the file is none of it.
    stop = 8 + int.from_bytes(data[4:8], "little")
    if stop > len(data):
        return data
    place = _CHUNKS
    for _ in range(_MOST_CHUNKS):
        if place + 8 > stop:
            break
        kind, length = struct.unpack_from("<4sI", data, place)
        end = place + 8 + length + length % 2
        if kind == b"VP8L" and length > _KEPT and end <= stop:
            picture = struct.pack("<4sI", kind, _KEPT) + data[place + 8 : place + 8 + _KEPT]
            rest = data[_CHUNKS:place] + picture + data[end:stop]
            return b"RIFF" + struct.pack("<I", 4 + len(rest)) + b"WEBP" + rest
        place = end
    return data
