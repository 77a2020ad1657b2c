"""Converts a photo to the colours a browser shows: sRGB, by the ICC profile in the file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from deployments.vision.encode import shrink
from deployments.vision.jpeg import decode_whole
from deployments.vision.parsing import DAMAGED, open_file, parsing
from semblance.errors import UnreadableImageError
from semblance.types import Image

_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

_MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode for the pixels that a profile of each colour space describes."""

_log = logging.getLogger(__name__)


def in_srgb(data: bytes, decoded: Callable[[], Image], long_side: int) -> Image:
    """Return the photo upright and in sRGB, with a long side of at most `long_side` pixels.

    Args:
        data: The file.
        decoded: Returns its pixels as `decode` does, at least that large. Not called if the profile needs the
        file's own inks.

    Raises UnreadableImageError.
    """
    mode, profile = _colours(data)
    if profile is not None and mode == profile[1] == "CMYK":
        # `decode` converts these without their profile, which then no longer describes the pixels.
        try:
            return _from_cmyk(data, profile[0], long_side)
        except UnreadableImageError:
            _log.debug("a CMYK photo is converted without its profile")
    # Reduce before converting: the time of a conversion grows with the number of pixels.
    pixels = shrink(decoded(), long_side)
    if profile is None or profile[1] == "CMYK":
        return pixels
    return _to_srgb(PillowImage.fromarray(pixels).convert(profile[1]), profile[0])


def _colours(data: bytes) -> tuple[str, tuple[ImageCms.ImageCmsProfile, str] | None]:
    """The mode and the usable profile of a file. Its parser, which may reserve memory for the whole photo
    twice, ends with this call."""
    with parsing(DAMAGED), open_file(data) as image:
        return image.mode, _profile(image.info.get("icc_profile"))


def _profile(icc: object) -> tuple[ImageCms.ImageCmsProfile, str] | None:
    """An embedded profile and the mode it is for, or None if the file has no usable profile."""
    if not isinstance(icc, bytes) or not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        mode = _MODES.get(profile.profile.xcolor_space.strip())
    except Exception:
        # Profiles come from any software. Without one the colours are slightly off, which is no reason to
        # refuse.
        return None
    return None if mode is None else (profile, mode)


def _from_cmyk(data: bytes, profile: ImageCms.ImageCmsProfile, long_side: int) -> Image:
    with parsing(DAMAGED), open_file(data) as image:
        if image.format in {"JPEG", "MPO"}:
            # Pillow ignores libjpeg's warnings.
            decode_whole(data, "CMYK", 1, 1)
        image.load()
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((long_side, long_side), PillowImage.Resampling.BOX)
        return _to_srgb(upright, profile)


def _to_srgb(image: PillowImage.Image, profile: ImageCms.ImageCmsProfile) -> Image:
    """Relative colorimetric with black point compensation, as in browsers."""
    try:
        converted = ImageCms.profileToProfile(
            image,
            profile,
            _SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        converted = None
    return np.ascontiguousarray(converted or image.convert("RGB"), dtype=np.uint8)
