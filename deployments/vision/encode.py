"""Encodes pixels as JPEG files."""

from __future__ import annotations

from typing import Final

import cv2

from deployments.vision.libvips import reduced
from semblance.types import Image

QUALITY: Final = 92


def encode_jpeg(image: Image, quality: int = QUALITY) -> bytes:
    """Encode RGB pixels, uint8 [H, W, 3], as a JPEG without metadata. quality: on libjpeg's scale, 1..100."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError("the image cannot be encoded as JPEG")
    return data.tobytes()


def shrink(image: Image, side: int) -> Image:
    """Reduce the image to a long side of at most `side` pixels."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return reduced(image, width, height)
