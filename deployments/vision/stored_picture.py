"""From an accepted picture file to what is stored of it: pixels alone.

Decoding and encoding leave behind whatever else a file carries: EXIF with the camera and where it stood, XMP,
IPTC, comments, thumbnails, the second pictures of MPO and HEIC (depth, stereo, gain maps), and what somebody
has put behind the end. The picture stands upright, its colours are sRGB by its ICC profile, and transparent
pixels lie on white, as `decode` gives them to the detector.

Always JPEG, which everything reads. WebP would be a quarter to a third smaller (Google's WebP compression
study) and takes twenty times as long to encode; its transparency is not needed here.
"""

from __future__ import annotations

import logging
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from deployments.vision.decode import ImageHeader, _open, _parsing, decode
from deployments.vision.encode import encode_jpeg, shrink
from semblance.errors import UnreadableImageError
from semblance.stored_pictures import StoredPicture
from semblance.types import Image

FULL_SIDE: Final = 2048
"""Long side of the full picture in pixels, as Facebook and Flickr keep it for display. Embeddings are made of
the upload itself; a later pack embeds this picture, and wants some 112 pixels of the face. That is a face
over a twentieth of the photo's side, and the user's own is the largest. A photo of 48 MP then takes half a
megabyte and not fifteen."""

FEED_SIDE: Final = 1080
"""Of the feed's: the width to which Instagram brings its photos, three device pixels per point of a phone."""

THUMBNAIL_SIDE: Final = 256
"""Of the thumbnail: the freedesktop specification's "large", and about Immich's 250."""

FULL_QUALITY: Final = 90
"""Between libjpeg's 85, up to which a difference can be seen at a close look, and 95, beyond which files grow
for nothing (Independent JPEG Group, FAQ part 1, section 10): nets look at this picture again."""

SMALL_QUALITY: Final = 80
"""Of the smaller ones, which are only looked at; Immich's default for both of its own."""

_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))

_MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode of the pixels that a profile of a colour space describes."""

_log = logging.getLogger(__name__)


def render(data: bytes, header: ImageHeader) -> StoredPicture:
    """The files to store of a picture file, `header` being what `read_header` said of it. The same file gives
    the same bytes.

    Raises UnreadableImageError where the data is damaged or ends early.
    """
    return encode(displayed(data, header), header)


def displayed(data: bytes, header: ImageHeader) -> Image:
    """The picture as a browser shows it: upright, in sRGB, its long side at most FULL_SIDE. All that parses
    what strangers send is in here. Raises as `render` does."""
    with _parsing("The picture is damaged."), _open(data) as image:
        mode, icc = image.mode, image.info.get("icc_profile")
    profile = _profile(icc)
    if profile is not None and mode == profile[1] == "CMYK":
        # `decode` converts these without their profile, after which it describes nothing any more.
        try:
            return _from_cmyk(data, profile[0])
        except UnreadableImageError:
            _log.debug("a CMYK picture is converted without its profile")
    # Reduced before the conversion, whose time goes with the pixels.
    pixels = shrink(decode(data, header, long_side=FULL_SIDE)[0], FULL_SIDE)
    if profile is None or profile[1] == "CMYK":
        return pixels
    return _to_srgb(PillowImage.fromarray(pixels).convert(profile[1]), profile[0])


def encode(full: Image, header: ImageHeader) -> StoredPicture:
    """The files of the pixels that `displayed` gave of a picture."""
    feed = shrink(full, FEED_SIDE)
    return StoredPicture(
        full=encode_jpeg(full, FULL_QUALITY),
        feed=encode_jpeg(feed, SMALL_QUALITY),
        thumbnail=encode_jpeg(shrink(feed, THUMBNAIL_SIDE), SMALL_QUALITY),
        scale=min(1.0, max(full.shape[:2]) / max(header.width, header.height)),
    )


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


def _from_cmyk(data: bytes, profile: ImageCms.ImageCmsProfile) -> Image:
    with _parsing("The picture is damaged."), _open(data) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((FULL_SIDE, FULL_SIDE), PillowImage.Resampling.BOX)
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
