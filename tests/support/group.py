"""Valid pictures from small to the limits, made of the group of six that comes with insightface."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support import photos

_HEADS: Final = ((23, 233), (236, 114), (436, 244), (708, 321), (863, 37), (1087, 238))
_SIDE: Final = 176
"""Where the six heads begin, left and top, and the side of a square that holds each."""


@lru_cache
def group() -> NDArray[np.uint8]:
    """The group photo, RGB."""
    with Image.open(photos.GROUP) as photo:
        return np.array(photo.convert("RGB"))


@lru_cache(maxsize=2)
def heavy_photo(size: int) -> bytes:
    """A JPEG of exactly `size` bytes, at least 8 MiB, that shows the group under strong grain."""
    photo = group()
    # Grain of this strength takes some 1.8 bytes a pixel at full quality.
    scale = float(np.sqrt(size / 2.0 / (photo.shape[0] * photo.shape[1])))
    large = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR).astype(np.int16)
    rng = np.random.default_rng(7)
    large += rng.integers(-24, 25, large.shape, np.int16)
    file = BytesIO()
    Image.fromarray(np.clip(large, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=98, subsampling=0)
    return filled(file.getvalue(), size)


@lru_cache
def portrait() -> bytes:
    """A small JPEG of one of the six."""
    x, y = _HEADS[0]
    return _jpeg(group()[y : y + _SIDE, x : x + _SIDE])


def filled(jpeg: bytes, size: int) -> bytes:
    """The same JPEG with comments after its first marker, so that it has `size` bytes."""
    missing = size - len(jpeg)
    assert missing >= 4, f"the picture has {-missing} bytes too many"
    comments = b""
    while len(comments) < missing:
        length = min(missing - len(comments) - 2, 65535)
        # The rest must hold a marker and a length.
        if 0 < missing - len(comments) - 2 - length < 4:
            length -= 4
        comments += b"\xff\xfe" + length.to_bytes(2) + bytes(length - 2)
    return jpeg[:2] + comments + jpeg[2:]


@lru_cache
def crowd(columns: int = 10, rows: int = 6) -> bytes:
    """A JPEG of columns x rows faces side by side."""
    heads = [group()[y : y + _SIDE, x : x + _SIDE] for x, y in _HEADS]
    lines = [
        np.hstack([heads[(row + column) % len(heads)] for column in range(columns)]) for row in range(rows)
    ]
    return _jpeg(np.vstack(lines))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=92)
    return file.getvalue()
