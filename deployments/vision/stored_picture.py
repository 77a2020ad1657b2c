"""Renders the files that are stored of a photo: pixels only.

Decoding and encoding leave out everything else in the file: EXIF with camera and position, XMP, IPTC,
comments, thumbnails, the further images of MPO and HEIC (depth, stereo, gain maps), and trailing data. The
result is upright, in sRGB by the photo's ICC profile, and has transparent pixels composited over white, as
the detector sees them.

Always JPEG, which every client reads. WebP would be a quarter to a third smaller (Google's WebP compression
study) but takes twenty times as long to encode, and its transparency is not needed here.
"""

from __future__ import annotations

from typing import Final

from deployments.vision.decode import Photo
from deployments.vision.encode import encode_jpeg, shrink
from semblance.storage.pictures import StoredPicture

FULL_SIDE: Final = 2048
"""Long side of the full rendition in pixels, as Facebook and Flickr keep it for display. Embeddings are made
from the upload itself. A later pack embeds this rendition and needs about 112 pixels across the face, which
is a twentieth of the side; the user's own face is the largest. A photo of 48 MP takes half a megabyte, not
fifteen."""

FEED_SIDE: Final = 1080
"""Long side of the feed rendition: the width of Instagram's photos, three device pixels per point of a
phone."""

THUMBNAIL_SIDE: Final = 256
"""Long side of the thumbnail: "large" in the freedesktop specification, and about Immich's 250."""

FULL_QUALITY: Final = 90
"""Nets read this rendition again, so between libjpeg's 85, up to which a close look shows a difference, and
95, beyond which files only grow (Independent JPEG Group, FAQ part 1, section 10)."""

SMALL_QUALITY: Final = 80
"""Quality of the smaller renditions, which are only looked at. Immich's default for its preview and
thumbnail."""


def render(photo: Photo) -> StoredPicture:
    """Render the files to store. The same photo always gives the same bytes.

    Raises the errors of Photo's methods.
    """
    full = photo.displayed(FULL_SIDE)
    feed = shrink(full, FEED_SIDE)
    return StoredPicture(
        full=encode_jpeg(full, FULL_QUALITY),
        feed=encode_jpeg(feed, SMALL_QUALITY),
        thumbnail=encode_jpeg(shrink(feed, THUMBNAIL_SIDE), SMALL_QUALITY),
        scale=min(1.0, max(full.shape[:2]) / max(photo.header.width, photo.header.height)),
    )
