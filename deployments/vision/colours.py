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

_LEVELS: Final = np.arange(256, dtype=np.uint8)

_COLOURS: Final = PillowImage.fromarray(
    np.concatenate([
        # Every 17th level of all primaries, then each level of each primary and of grey.
        np.stack(np.meshgrid(*[_LEVELS[::17]] * 3), axis=-1).reshape(1, -1, 3),
        *(_LEVELS[None, :, None] * np.array(primaries, np.uint8) for primaries in (*np.eye(3), [1, 1, 1])),
    ], axis=1)
)  # fmt: skip
"""Colours that tell what a conversion does."""

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
        conversion = ImageCms.buildTransform(
            profile,
            _SRGB,
            image.mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        # Most profiles in photos are sRGB itself, and a conversion takes longer than decoding.
        if image.mode != "RGB" or not _changes_nothing(conversion):
            image = ImageCms.applyTransform(image, conversion) or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        _log.debug("a photo is shown without its profile")
    return np.ascontiguousarray(image.convert("RGB"), dtype=np.uint8)


def _changes_nothing(conversion: ImageCms.ImageCmsTransform) -> bool:
    """Whether a conversion of RGB changes no colour by more than a level."""
    converted = np.asarray(ImageCms.applyTransform(_COLOURS, conversion), np.int16)
    return bool((np.abs(converted - np.asarray(_COLOURS)) <= 1).all())
