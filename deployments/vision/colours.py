"""The colours of a picture file as a browser shows them: sRGB, by the ICC profile that the file carries."""

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
"""Pillow's mode of the pixels that a profile of a colour space describes."""

_log = logging.getLogger(__name__)


def in_srgb(data: bytes, decoded: Callable[[], Image], long_side: int) -> Image:
    """The picture upright and in sRGB, its long side at most `long_side`.

    data: the file. decoded: gives its pixels as `decode` does, not smaller than that; not asked where
    the profile needs the file's own ink. Raises UnreadableImageError.
    """
    with parsing(DAMAGED), open_file(data) as image:
        mode, icc = image.mode, image.info.get("icc_profile")
    profile = _profile(icc)
    if profile is not None and mode == profile[1] == "CMYK":
        # `decode` converts these without their profile, after which it describes nothing any more.
        try:
            return _from_cmyk(data, profile[0], long_side)
        except UnreadableImageError:
            _log.debug("a CMYK picture is converted without its profile")
    # Reduced before the conversion, whose time goes with the pixels.
    pixels = shrink(decoded(), long_side)
    if profile is None or profile[1] == "CMYK":
        return pixels
    return _to_srgb(PillowImage.fromarray(pixels).convert(profile[1]), profile[0])


def _profile(icc: object) -> tuple[ImageCms.ImageCmsProfile, str] | None:
    """An embedded profile and the mode it is for; None where there is none that can be used."""
    if not isinstance(icc, bytes) or not icc:
        return None
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        mode = _MODES.get(profile.profile.xcolor_space.strip())
    except Exception:
        # Written by who knows what: without it the colours are a little off, which is no reason to refuse.
        return None
    return None if mode is None else (profile, mode)


def _from_cmyk(data: bytes, profile: ImageCms.ImageCmsProfile, long_side: int) -> Image:
    with parsing(DAMAGED), open_file(data) as image:
        if image.format in {"JPEG", "MPO"}:
            # Pillow hears none of libjpeg's warnings.
            decode_whole(data, "CMYK", 1, 1)
        image.load()
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((long_side, long_side), PillowImage.Resampling.BOX)
        return _to_srgb(upright, profile)


def _to_srgb(image: PillowImage.Image, profile: ImageCms.ImageCmsProfile) -> Image:
    """Relative colorimetric with black point compensation, as browsers show it."""
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
