"""What is read of a WebP before its parser gets it: its size. The header of a lossless one is made short."""

from __future__ import annotations

import struct
from typing import Final

_CHUNKS: Final = 12
"""Where the chunks of a file begin: after RIFF, its length and WEBP (RFC 9649, section 2.4)."""

_MOST_CHUNKS: Final = 100
"""Of a still picture, a file has about six. Beyond this it stays as it is."""

_KEPT: Final = 32
"""Bytes of a lossless picture that are kept. Its size is in the first five (RFC 9649, section 3.4)."""


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height as the first chunk of a WebP says them (RFC 9649, sections 2.5 to 2.7); None for any
    other file."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < _CHUNKS + 18:
        return None
    kind, start = data[_CHUNKS : _CHUNKS + 4], _CHUNKS + 8
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") for at in (start + 4, start + 7))
        return 1 + width, 1 + height
    if kind == b"VP8L":
        bits = int.from_bytes(data[start + 1 : start + 5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<2H", data, start + 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


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
