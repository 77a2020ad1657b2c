"""Pictures to decode, and how tests decode them."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from deployments.vision.decode import ImageHeader, decode, read_header
from semblance.types import Image

MAX_BYTES, MAX_PIXELS = 10 * 2**20, 50_000_000


def header_of(data: bytes, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    return read_header(data, max_bytes=max_bytes, max_pixels=max_pixels)


def pixels_of(data: bytes) -> Image:
    image, scale = decode(data, header_of(data))
    assert scale == 1.0
    assert image.dtype == np.uint8
    assert (image.ndim, image.shape[2]) == (3, 3)
    assert image.flags.c_contiguous
    return image


def corners() -> Image:
    """56 x 40 with four differently coloured quarters, so that any turn or mirroring shows."""
    picture = np.zeros((40, 56, 3), np.uint8)
    picture[:20, :28] = 230, 40, 40
    picture[:20, 28:] = 40, 200, 40
    picture[20:, :28] = 40, 60, 230
    picture[20:, 28:] = 240, 230, 220
    return picture


RGB = PillowImage.fromarray(corners())
NOISE = PillowImage.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))

FORMATS: dict[str, tuple[str, dict[str, Any], int]] = {
    "JPEG": ("JPEG", {"quality": 95, "subsampling": 0}, 12),
    "JPEG progressive": ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 12),
    "PNG": ("PNG", {}, 0),
    "PNG interlaced": ("PNG", {"interlace": True}, 0),
    "WebP": ("WEBP", {"quality": 95}, 40),
    "WebP lossless": ("WEBP", {"lossless": True}, 0),
    "BMP": ("BMP", {}, 0),
    "TIFF": ("TIFF", {}, 0),
    "TIFF LZW": ("TIFF", {"compression": "tiff_lzw"}, 0),
    "TIFF JPEG": ("TIFF", {"compression": "jpeg", "quality": 95}, 25),
    "AVIF": ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 16),
    "HEIC": ("HEIF", {"quality": 95, "chroma": 444}, 16),
    "GIF": ("GIF", {}, 0),
}


def turned(orientation: int) -> PillowImage.Image:
    """The picture as stored by a camera that writes this orientation: the inverse of what EXIF asks for."""
    operation = {
        2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
        3: PillowImage.Transpose.ROTATE_180,
        4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
        5: PillowImage.Transpose.TRANSPOSE,
        6: PillowImage.Transpose.ROTATE_90,
        7: PillowImage.Transpose.TRANSVERSE,
        8: PillowImage.Transpose.ROTATE_270,
    }
    return RGB.transpose(operation[orientation]) if orientation in operation else RGB


def exif(orientation: int) -> PillowImage.Exif:
    tags = PillowImage.Exif()
    tags[0x0112] = orientation
    return tags


def with_transparency(mode: str) -> PillowImage.Image:
    """The left half opaque red or dark grey, the right half fully transparent with black underneath."""
    alpha = np.zeros((40, 56), np.uint8)
    alpha[:, :28] = 255
    if mode == "LA":
        return PillowImage.merge("LA", [PillowImage.new("L", (56, 40), 50), PillowImage.fromarray(alpha)])
    red = PillowImage.new("RGB", (56, 40), (0, 0, 0))
    red.paste((200, 30, 30), (0, 0, 28, 40))
    red.putalpha(PillowImage.fromarray(alpha))
    return red


def assert_shows_the_same(reduced: Image, full: Image, divisor: int) -> None:
    """The reduced picture against the full one averaged over its whole blocks."""
    rows, columns = full.shape[0] // divisor, full.shape[1] // divisor
    whole = np.ascontiguousarray(full[: rows * divisor, : columns * divisor])
    expected = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    assert np.abs(reduced[:rows, :columns].astype(int) - expected).mean() < 1.5


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *extra: bytes, body: bytes = b"\0" * 64) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + b"".join(extra)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )
